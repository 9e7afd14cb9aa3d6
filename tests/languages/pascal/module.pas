program ModuleBeside;
uses
  Greeting;
begin
  Greet('module');
end.
