print("fastvlmd")
