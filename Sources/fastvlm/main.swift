print("fastvlm")
