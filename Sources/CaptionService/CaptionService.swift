enum CaptionServiceRoom {}
