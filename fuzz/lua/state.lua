local t, n = {}, 0
function match(event)
  n = n + 1
  t[#t + 1] = event['process.name']
  return #t == 1 and n == 1
end
