-- A shell that was told a script which fetches something and runs it.
local shells = shrike.list_of{"sh", "bash", "dash", "zsh"}
local fetches = shrike.regex("(.*[ /;|])?(curl|wget) .*")
local runs = shrike.regex(".*[|;&] *(/[a-z/]*/)?(sh|bash|python[0-9.]*)( .*)?")

return function(event)
	if not shrike.field_in("process.name", shells) then
		return false
	end
	local args = event["process.args"] or {}
	for i = 1, #args - 1 do
		if args[i] == "-c" then
			local text = args[i + 1]
			return shrike.matches(text, fetches) and shrike.matches(text, runs)
		end
	end
	return false
end
