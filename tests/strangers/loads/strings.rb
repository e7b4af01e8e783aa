# 2,000 strings of 2,000 bytes for each line that comes; then what ObjectSpace says of all strings
require "objspace"
$stdout.sync = true
kept = []
piece = "x".freeze
puts "ready"
while gets
  GC.start
  GC.disable # it allocates, too
  before = ObjectSpace.memsize_of_all(String)
  kept << Array.new(2000) { piece * 2002 }
  puts "done #{ObjectSpace.memsize_of_all(String) - before - 2000 * 40}" # less the slots, which are no blocks
end
