# SPDX-License-Identifier: BSD-2-Clause
# Turns the lines of `generate` into completions for zsh, as arguments of _arguments.
function quoted(text)
{
	gsub(/[\[\]:\\]/, "\\\\&", text)
	gsub(/'/, "'\\''", text)
	return text
}

$1 == "command" {
	commands = commands "\t\t'" $2 ":" quoted($3) "'\n"
	names[++count] = $2
	rest[$2] = $2 == "help" ? "'1:command:_alpnbpf_commands'" : $4 == "FILE" ? "'*:file:_files'" : \
		$4 == "COMMAND" ? "'*:::command:_normal'" : ""
}

$1 == "option" {
	spec = $3
	if ($6 ~ /repeatable|once per /)
		spec = "*" spec
	else if ($3 == "--help" || $3 == "--version")
		spec = "(- *)" spec
	if ($4 != "")
		spec = spec "="
	spec = spec "[" quoted($6) "]"
	if ($4 == "FILE")
		spec = spec ":file:_files"
	else if ($5 != "")
		spec = spec ":value:(" $5 ")"
	else if ($4 != "")
		spec = spec ":" quoted($4) ": "
	options[$2] = options[$2] " \\\n\t\t\t'" spec "'"
}

END {
	print "#compdef alpnbpf\n# Completion of alpnbpf for zsh; generated from its help.\n"
	print "_alpnbpf_commands()\n{\n\tlocal -a commands=(\n" commands "\t)\n\t_describe -t commands command commands\n}\n"
	print "_alpnbpf()\n{\n\tlocal curcontext=$curcontext state line\n\ttypeset -A opt_args\n"
	print "\t_arguments -C '1:command:->command' '*::argument:->argument'"
	print "\tcase $state in\n\tcommand) _alpnbpf_commands ;;\n\targument)"
	print "\t\tcurcontext=${curcontext%:*:*}:alpnbpf-$words[1]:\n\t\tcase $words[1] in"
	for (at = 1; at <= count; at++) {
		name = names[at]
		if (options[name] != "" || rest[name] != "")
			print "\t\t" name ")\n\t\t\t_arguments -S" options[name] (rest[name] != "" ? " " rest[name] : "") "\n\t\t\t;;"
	}
	print "\t\tesac\n\t\t;;\n\tesac\n}\n\n_alpnbpf \"$@\""
}
