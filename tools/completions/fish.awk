# SPDX-License-Identifier: BSD-2-Clause
# Turns the lines of `generate` into completions for fish.
function quoted(text)
{
	gsub(/[\\']/, "\\\\&", text)
	return "'" text "'"
}

function complete(command, rest)
{
	print "complete -c alpnbpf -n '__alpnbpf_is " command "' " rest
}

BEGIN {
	print "# Completion of alpnbpf for fish; generated from its help.\n"
	print "function __alpnbpf_is -d 'Whether this is the command, and no -- came yet'"
	print "    set -l words (commandline -opc)\n    test \"$words[2]\" = $argv[1]; and not contains -- -- $words\nend\n"
	print "complete -c alpnbpf -f"
}

$1 == "command" {
	print "\ncomplete -c alpnbpf -n __fish_use_subcommand -a " $2 " -d " quoted($3)
	names = names (names == "" ? "" : " ") $2
	if ($4 == "FILE")
		complete($2, "-F")
	if ($4 == "COMMAND")
		print "complete -c alpnbpf -n 'contains -- -- (commandline -opc)' -F -a '(complete -C (commandline -ct))'"
}

$1 == "option" {
	complete($2, "-l " substr($3, 3) ($4 == "FILE" ? " -r -F" : $5 != "" ? " -x -a " quoted($5) : $4 != "" ? " -x" : "") \
		" -d " quoted($6))
}

END {
	print ""
	complete("help", "-a " quoted(names))
}
