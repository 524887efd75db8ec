#include "CImageCodecs.h"

#include <stdlib.h>
#include <string.h>

uint8_t *fv_pixels_allocate(size_t count) {
    if (count > SIZE_MAX - FV_IMAGE_SLACK) return NULL;
    uint8_t *pixels = malloc(count + FV_IMAGE_SLACK);
    if (pixels != NULL) memset(pixels + count, 0, FV_IMAGE_SLACK);
    return pixels;
}

void fv_pixels_free(uint8_t *pixels) { free(pixels); }

void fv_orient_rows(const uint8_t *rows, uint32_t row, uint32_t count, uint32_t width, uint32_t height,
                    uint32_t orientation, uint8_t *target) {
    // Stored pixel (x, y) goes to target pixel origin + x * across + y * down.
    const ptrdiff_t w = width, h = height;
    ptrdiff_t origin = 0, across = 1, down = w;
    switch (orientation) {
    case 2: origin = w - 1, across = -1, down = w; break;              // mirrored
    case 3: origin = w * h - 1, across = -1, down = -w; break;         // half a turn
    case 4: origin = w * (h - 1), across = 1, down = -w; break;        // mirrored, half a turn
    case 5: origin = 0, across = h, down = 1; break;                   // transposed
    case 6: origin = h - 1, across = h, down = -1; break;              // a quarter turn clockwise
    case 7: origin = w * h - 1, across = -h, down = -1; break;         // transposed on the other diagonal
    case 8: origin = h * (w - 1), across = -h, down = 1; break;        // a quarter turn anticlockwise
    default: break;
    }
    if (across == 1) {
        for (uint32_t i = 0; i < count; i++) {
            memcpy(target + 3 * (origin + (ptrdiff_t)(row + i) * down), rows + 3 * (size_t)i * width, 3 * (size_t)width);
        }
    } else if (across == -1) {
        for (uint32_t i = 0; i < count; i++) {
            const uint8_t *from = rows + 3 * (size_t)i * width;
            uint8_t *to = target + 3 * (origin + (ptrdiff_t)(row + i) * down);
            for (uint32_t x = 0; x < width; x++, from += 3, to -= 3) to[0] = from[0], to[1] = from[1], to[2] = from[2];
        }
    } else {
        // A strip of rows becomes a strip of columns: runs along the strip are contiguous in the target.
        for (uint32_t x = 0; x < width; x++) {
            const uint8_t *from = rows + 3 * (size_t)x;
            uint8_t *to = target + 3 * (origin + (ptrdiff_t)x * across + (ptrdiff_t)row * down);
            for (uint32_t i = 0; i < count; i++, from += 3 * (size_t)width, to += 3 * down) {
                to[0] = from[0], to[1] = from[1], to[2] = from[2];
            }
        }
    }
}
