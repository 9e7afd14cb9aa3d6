let rec count words =
  match Scanf.scanf " %s" (fun word -> word) with
  | "" -> words
  | _ -> count (words + 1)

let () = Printf.printf "%d\n" (count 0)
