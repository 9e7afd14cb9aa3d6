let greet name = Printf.printf "Hello, %s!\n" (if name = "" then Names.first else name)
