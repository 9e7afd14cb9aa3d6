program Words;
var
  Letter: Char;
  Count: Integer;
  IsInside, IsSpace: Boolean;
begin
  Count := 0;
  IsInside := False;
  while not Eof do
  begin
    Read(Letter);
    IsSpace := Letter <= ' ';
    if not IsSpace and not IsInside then Count := Count + 1;
    IsInside := not IsSpace;
  end;
  WriteLn(Count);
end.
