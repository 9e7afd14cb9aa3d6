let () = print_string "never"
let number : int = "never" (* HERE *)
