let fail luck = if luck = 0 then failwith "no such luck" (* HERE *)

let rec echo () =
  match input_line stdin with
  | line -> Printf.printf "%s\n" line; echo ()
  | exception End_of_file -> ()

let add_in_threads () =
  let sum = ref 0 and mutex = Mutex.create () in
  let add n = Mutex.lock mutex; sum := !sum + n; Mutex.unlock mutex in
  List.iter Thread.join (List.map (Thread.create add) [1; 2; 3; 4]);
  Printf.printf "%d\n" !sum

let () =
  match Sys.argv.(1) with
  | "hello" -> print_string "Hello, World!\n"
  | "stderr" -> prerr_endline "oops"
  | "exit" -> exit 3
  | "echo" -> echo ()
  | "error" -> fail 0; print_endline "lucky"
  | "process" -> exit (Sys.command "echo process")
  | "threads" -> add_in_threads ()
  | "lines" -> for n = 1 to 100000 do Printf.printf "%d\n" n done
  | "live" -> Printf.printf "%s\n" "live"; Unix.sleep 60
  | "prompt" ->
    print_string "name? ";
    let name = input_line stdin in
    Printf.printf "hello %s\n" name
  | _ -> ()
