program Broken;
begin
  WriteLn(Never); { HERE }
end.
