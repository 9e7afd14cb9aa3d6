let is_free queens column =
  let distances = List.mapi (fun row other -> (row + 1, abs (other - column))) queens in
  List.for_all (fun (rows, distance) -> distance <> 0 && distance <> rows) distances

let rec solutions queens =
  if List.length queens = 8 then [List.rev queens]
  else
    let columns = List.filter (is_free queens) [1; 2; 3; 4; 5; 6; 7; 8] in
    List.concat_map (fun column -> solutions (column :: queens)) columns

let () =
  let found = solutions [] in
  print_endline (String.concat " " (List.map string_of_int (List.hd found)));
  print_endline (string_of_int (List.length found))
