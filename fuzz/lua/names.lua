--[==[ a.b ]==] local x = [[c.d]] -- e.f
return function(e) return e.message == 'x' or e['process.pid'] == 42 or e["source.ip"] end
