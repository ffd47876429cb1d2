return function(e)
  local t = {3, 1, 2}
  table.sort(t)
  table.insert(t, 4)
  for k, v in pairs({a = 1, [2] = 'x'}) do t[#t + 1] = tostring(k) .. v end
  return table.concat(t, ','):find('1,2', 1, true) and string.format('%s %5.2f', 'x', 1.5)
end
