def solutions(queens)
  return [queens] if queens.size == 8

  free = (1..8).select do |column|
    queens.each_with_index.all? do |other, row|
      other != column && (other - column).abs != queens.size - row
    end
  end
  free.flat_map { |column| solutions([*queens, column]) }
end

found = solutions([])
puts found.first.join(" ")
puts found.size
