# A Ruby runtime that a tenant can talk to: it evaluates each line that it is sent and prints the value.
$stdout.sync = true
while (line = $stdin.gets)
  begin
    puts eval(line).inspect
  rescue StandardError, ScriptError => e
    puts "#{e.class}: #{e.message}"
  end
end
