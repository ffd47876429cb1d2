return function() local s = 'x' while true do s = s .. s:rep(2) end end
