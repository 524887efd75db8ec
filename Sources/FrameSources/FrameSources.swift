enum FrameSourcesRoom {}
