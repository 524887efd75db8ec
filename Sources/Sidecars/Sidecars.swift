enum SidecarsRoom {}
