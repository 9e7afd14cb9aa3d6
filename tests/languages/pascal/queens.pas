program Queens;
var
  Board, First: array[1..8] of Integer;
  Found, Row: Integer;

function IsFree(Row, Column: Integer): Boolean;
var
  Other: Integer;
begin
  IsFree := True;
  for Other := 1 to Row - 1 do
    if (Board[Other] = Column) or (Abs(Board[Other] - Column) = Row - Other) then IsFree := False;
end;

procedure Place(Row: Integer);
var
  Column: Integer;
begin
  if Row > 8 then
  begin
    if Found = 0 then First := Board;
    Found := Found + 1;
    Exit;
  end;
  for Column := 1 to 8 do
    if IsFree(Row, Column) then
    begin
      Board[Row] := Column;
      Place(Row + 1);
    end;
end;

begin
  Found := 0;
  Place(1);
  Write(First[1]);
  for Row := 2 to 8 do Write(' ', First[Row]);
  WriteLn;
  WriteLn(Found);
end.
