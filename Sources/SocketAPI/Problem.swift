internal import HTTPTypes

/// What can be wrong with a request, or with the daemon when it comes: the whole table of the API's error codes.
///
/// Each is answered as `application/problem+json` (RFC 9457) with its `code`, which never changes its meaning. Titles and
/// details are for people and name no path and no error of the system.
public enum ProblemCode: String, Sendable, CaseIterable {
    // The request as bytes. The connection is closed after each of these.

    /// The head is no HTTP/1.1: a line without its parts, a byte that may not be there, another version.
    case malformedRequest = "malformed_request"
    /// A line of the head, or of a chunk's, ends in a line feed alone.
    case bareLineFeed = "bare_line_feed"
    /// A header field goes on in a second line.
    case foldedHeader = "folded_header"
    /// Two lengths, or a length and a transfer coding, or one that is no number.
    case ambiguousLength = "ambiguous_length"
    /// A transfer coding other than `chunked`.
    case unsupportedTransferCoding = "unsupported_transfer_coding"
    /// The request line has more than 2 KiB.
    case requestLineTooLong = "request_line_too_long"
    /// The header fields have more than 8 KiB, or are more than 64.
    case headersTooLarge = "headers_too_large"
    /// The head was not there within 5 seconds.
    case headerTimeout = "header_timeout"
    /// The body came more slowly than 64 KiB a second, or nothing came of a stream for a minute.
    case bodyTooSlow = "body_too_slow"
    /// The body ended before its length.
    case bodyIncomplete = "body_incomplete"

    // Who asks.

    /// This user is not among those who may connect.
    case forbidden
    /// 32 connections are open, or 8 of this user.
    case tooManyConnections = "too_many_connections"

    // What is asked for.

    /// There is nothing at this path.
    case notFound = "not_found"
    /// The path is right, the method is not; `Allow` says which are.
    case methodNotAllowed = "method_not_allowed"
    /// A query parameter, a name or a field whose value cannot be used.
    case invalidParameter = "invalid_parameter"
    /// A query parameter or a field that is known, but not supported.
    case unsupportedParameter = "unsupported_parameter"
    /// A `Content-Type` that is taken here by nobody.
    case unsupportedMediaType = "unsupported_media_type"
    /// The body has more than 16 MiB.
    case bodyTooLarge = "body_too_large"
    /// A body was expected, and there is none.
    case bodyMissing = "body_missing"
    /// The body is no JSON.
    case invalidJSON = "invalid_json"
    /// The JSON has more than 64 KiB without its picture, or nests deeper than 16.
    case jsonTooLarge = "json_too_large"
    /// No message has a picture.
    case imageMissing = "image_missing"
    /// More than one picture.
    case tooManyImages = "too_many_images"
    /// A picture that is not given as a `data:` URL: nothing is ever fetched.
    case imageNotInline = "image_not_inline"
    /// The `data:` URL cannot be read: no base64, or no picture's type.
    case invalidDataURL = "invalid_data_url"
    /// No such model: those that there are stand under `/v1/models`.
    case modelNotFound = "model_not_found"
    /// The picture cannot be read; `picture_code` says why, with the code that a result carries.
    case pictureRefused = "picture_refused"
    /// The budget was over before the picture could be answered.
    case expired

    // The daemon as it is.

    /// All bodies that are being read together would have more than 32 MiB. `Retry-After` says when to come again.
    case bodyBudgetExhausted = "body_budget_exhausted"
    /// Too many frames wait.
    case queueFull = "queue_full"
    /// No answer within 120 seconds.
    case inferenceTimeout = "inference_timeout"
    /// The model or the machine failed.
    case engineFailed = "engine_failed"
    /// There is no spool: frames are answered at once or not at all.
    case spoolDisabled = "spool_disabled"
    /// The spool holds as much as it may, or its disk is full; finished frames go after a while.
    case spoolFull = "spool_full"
    /// The spool's disk takes nothing at the moment.
    case spoolUnavailable = "spool_unavailable"
    /// The daemon is not ready yet, or is going.
    case notReady = "not_ready"

    var status: HTTPResponse.Status {
        switch self {
        case .malformedRequest, .bareLineFeed, .foldedHeader, .ambiguousLength, .bodyIncomplete, .invalidParameter,
            .unsupportedParameter, .bodyMissing, .invalidJSON, .imageMissing, .tooManyImages, .imageNotInline,
            .invalidDataURL:
            .badRequest
        case .forbidden: .forbidden
        case .notFound, .modelNotFound: .notFound
        case .methodNotAllowed: .methodNotAllowed
        case .headerTimeout, .bodyTooSlow: .requestTimeout
        case .bodyTooLarge, .jsonTooLarge: .contentTooLarge
        case .requestLineTooLong: .uriTooLong
        case .unsupportedMediaType: .unsupportedMediaType
        case .pictureRefused: .unprocessableContent
        case .headersTooLarge: .requestHeaderFieldsTooLarge
        case .engineFailed: .internalServerError
        case .unsupportedTransferCoding, .spoolDisabled: .notImplemented
        case .tooManyConnections, .bodyBudgetExhausted, .queueFull, .notReady, .spoolUnavailable: .serviceUnavailable
        case .inferenceTimeout, .expired: .gatewayTimeout
        case .spoolFull: HTTPResponse.Status(code: 507, reasonPhrase: "Insufficient Storage")
        }
    }

    /// The HTTP status that it comes with.
    public var statusNumber: Int { status.code }

    var title: String {
        switch self {
        case .malformedRequest: "The request is not HTTP/1.1."
        case .bareLineFeed: "A line ends in a line feed without a carriage return."
        case .foldedHeader: "A header field goes on in a second line."
        case .ambiguousLength: "The length of the body is ambiguous."
        case .unsupportedTransferCoding: "This transfer coding is not supported."
        case .requestLineTooLong: "The request line is too long."
        case .headersTooLarge: "The header fields are too large or too many."
        case .headerTimeout: "The request's head took too long."
        case .bodyTooSlow: "The request's body came too slowly."
        case .bodyIncomplete: "The request's body ended too early."
        case .forbidden: "This user may not connect."
        case .tooManyConnections: "Too many connections are open."
        case .notFound: "There is nothing here."
        case .methodNotAllowed: "This method is not allowed here."
        case .invalidParameter: "A parameter cannot be used."
        case .unsupportedParameter: "A parameter is not supported."
        case .unsupportedMediaType: "This type of content is not taken here."
        case .bodyTooLarge: "The body is too large."
        case .bodyMissing: "There is no body."
        case .invalidJSON: "The body is not JSON of the expected shape."
        case .jsonTooLarge: "The JSON is too large or nests too deeply."
        case .imageMissing: "There is no picture."
        case .tooManyImages: "There is more than one picture."
        case .imageNotInline: "The picture is not given as a data: URL."
        case .invalidDataURL: "The data: URL cannot be read."
        case .modelNotFound: "There is no such model."
        case .pictureRefused: "The picture cannot be read."
        case .expired: "The picture could not be answered in time."
        case .bodyBudgetExhausted: "Too much is being sent at the moment."
        case .queueFull: "Too many pictures wait."
        case .inferenceTimeout: "There was no answer in time."
        case .engineFailed: "The model or the machine failed."
        case .spoolDisabled: "Pictures cannot be left here."
        case .spoolFull: "There is no room for more pictures."
        case .spoolUnavailable: "Pictures cannot be left here at the moment."
        case .notReady: "The daemon is not ready."
        }
    }

    /// Seconds until it may be worth to try again; nil where the same request will fail again.
    var retryAfter: Int? {
        switch self {
        case .tooManyConnections, .bodyBudgetExhausted, .queueFull, .notReady: 1
        case .spoolUnavailable, .spoolFull: 30
        default: nil
        }
    }

    /// Whether the connection cannot go on after it: what follows is not known to be a request.
    var closesConnection: Bool {
        switch self {
        case .malformedRequest, .bareLineFeed, .foldedHeader, .ambiguousLength, .unsupportedTransferCoding,
            .requestLineTooLong, .headersTooLarge, .headerTimeout, .bodyTooSlow, .bodyIncomplete, .forbidden,
            .tooManyConnections, .bodyTooLarge, .bodyBudgetExhausted:
            true
        default: false
        }
    }
}

/// One answer that says what is wrong.
package struct Problem: Error, Sendable, Equatable {
    package let code: ProblemCode
    /// For people: what was expected and what was found.
    let detail: String?
    /// Methods that are allowed, for ``ProblemCode/methodNotAllowed``.
    var allow: String?
    /// The picture's own code, for ``ProblemCode/pictureRefused``.
    var pictureCode: String?

    init(_ code: ProblemCode, _ detail: String? = nil, allow: String? = nil, pictureCode: String? = nil) {
        self.code = code
        self.detail = detail
        self.allow = allow
        self.pictureCode = pictureCode
    }

    /// There is no model called `name`.
    init(noModel name: String?) {
        self.init(
            .modelNotFound, "There is no model '\((name ?? "").prefix(64))'. /v1/models lists those that there are.")
    }

    /// The body as JSON; `error` repeats it in the shape that OpenAI's clients show.
    var json: [UInt8] {
        let status = code.status.code
        var object: [(String, JSONOutput)] = [
            ("type", .string("about:blank")), ("title", .string(code.title)), ("status", .number(Double(status))),
            ("code", .string(code.rawValue)),
        ]
        if let detail { object.append(("detail", .string(detail))) }
        if let pictureCode { object.append(("picture_code", .string(pictureCode))) }
        object.append(
            (
                "error",
                .object([
                    ("message", .string(detail ?? code.title)),
                    ("type", .string(status < 500 ? "invalid_request_error" : "server_error")),
                    ("code", .string(code.rawValue)),
                ])
            ))
        return JSONOutput.object(object).bytes + [UInt8(ascii: "\n")]
    }

    var headers: HTTPFields {
        var headers: HTTPFields = [.contentType: "application/problem+json"]
        if let allow { headers[.allow] = allow }
        if let seconds = code.retryAfter { headers[.retryAfter] = String(seconds) }
        if code.closesConnection { headers[.connection] = "close" }
        return headers
    }

    /// The whole answer as HTTP/1.1, for where there is no request to answer.
    var rawResponse: [UInt8] {
        let body = json
        var text = "HTTP/1.1 \(code.status.code) \(code.status.reasonPhrase)\r\n"
        for field in headers { text += "\(field.name.canonicalName): \(field.value)\r\n" }
        if !code.closesConnection { text += "connection: close\r\n" }
        text += "content-length: \(body.count)\r\n\r\n"
        return Array(text.utf8) + body
    }
}
