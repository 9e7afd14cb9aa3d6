let rec sum total =
  match Scanf.scanf " %d" (fun number -> number) with
  | number -> sum (total + number)
  | exception End_of_file -> total
  | exception Scanf.Scan_failure _ -> total

let () = Printf.printf "%d\n" (sum 0)
