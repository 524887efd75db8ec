enum ModelFilesRoom {}
