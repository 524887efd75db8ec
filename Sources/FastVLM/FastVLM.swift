enum FastVLMRoom {}
