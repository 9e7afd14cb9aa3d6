unit Greeting;

interface

procedure Greet(Name: string);

implementation

procedure Greet(Name: string);
begin
  WriteLn('Hello, ', Name, '!');
end;

end.
