let () = Greeting.greet Names.first
