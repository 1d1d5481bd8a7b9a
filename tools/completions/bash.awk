# SPDX-License-Identifier: BSD-2-Clause
# Turns the lines of `generate` into the functions that bash.body calls.
$1 == "command" {
	commands = commands (commands == "" ? "" : " ") $2
	if ($4 != "")
		takes = takes "\t" $2 ") echo " $4 " ;;\n"
	names[++count] = $2
}

$1 == "option" {
	options[$2] = options[$2] (options[$2] == "" ? "" : " ") $3
	if ($4 != "")
		values = values "\t" $2 ":" $3 ") echo '" ($4 == "FILE" ? "file" : $5 != "" ? "words " $5 : "any") "' ;;\n"
}

END {
	print "# Completion of alpnbpf for bash; generated from its help.\n"
	print "_alpnbpf_commands='" commands "'\n"
	print "# The kind of value of an option: file, any, or words and the words. Nothing for a flag."
	print "_alpnbpf_value()\n{\n\tcase $1:$2 in\n" values "\tesac\n}\n"
	print "_alpnbpf_takes()\n{\n\tcase $1 in\n" takes "\tesac\n}\n"
	print "_alpnbpf_options()\n{\n\tcase $1 in"
	for (at = 1; at <= count; at++)
		if (options[names[at]] != "")
			print "\t" names[at] ") echo '" options[names[at]] "' ;;"
	print "\tesac\n}\n"
}
