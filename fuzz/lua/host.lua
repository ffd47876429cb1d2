local p, b, l = shrike.wildcard_fold('B*'), shrike.blocks('10.0.0.0/8'), shrike.list_of{'a', 'b'}
return function(e)
  return shrike.field_matches('process.name', p) and shrike.field_in_blocks('source.ip', b) and not shrike.field_in('process.name', l) and shrike.item('process.args', 1) == '-c'
end
