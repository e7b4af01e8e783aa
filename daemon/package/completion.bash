# bash completion of @name@
# What an option's value, or an argument, may be: words, or @KIND for what is looked up now.
_@name@_reply() { # KINDS WORD
	local kind words='' folder comm

	for kind in $1; do
		case $kind in
		@none) ;;
		@file) compopt -o filenames; mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$2") ;;
		@folder) compopt -o filenames; mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- "$2") ;;
		@group) mapfile -t COMPREPLY < <(compgen -g -- "$2") ;;
		@command) mapfile -t COMPREPLY < <(compgen -c -- "$2") ;;
		# what dhatd watches: "nginx (pid 812), watched for"
		@target) words+=" $(dhatctl status 2>/dev/null </dev/null | sed -n 's/.*(pid \([0-9]*\)[^)]*), .*/\1/p')" ;;
		@process)
			for folder in /proc/[0-9]*; do # threads of the kernel have no arguments
				{ read -r -d '' comm <"$folder/cmdline"; } 2>/dev/null && words+=" ${folder#/proc/}"
			done
			;;
		@program)
			for folder in /proc/[0-9]*; do
				{ read -r comm <"$folder/comm"; } 2>/dev/null && [[ $comm == "${comm//[^a-zA-Z0-9._-]/}" ]] && words+=" $comm"
			done
			;;
		# the first digits of what follows docker-, cri-containerd-, crio- or libpod- in /proc/PID/cgroup
		@container) words+=" $(cat /proc/[0-9]*/cgroup 2>/dev/null |
			sed -n 's,.*[/-]\([0-9a-f]\{12\}\)[0-9a-f]\{52\}.*,\1,p' | sort -u)" ;;
		*) words+=" $kind" ;;
		esac
	done
	[[ $words ]] && mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W "$words" -- "$2")
	return 0
}

_@name@() {
	local word=${COMP_WORDS[COMP_CWORD]} last=${COMP_WORDS[COMP_CWORD - 1]} command='' option='' value i

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ -z $command && " $_@name@_commands " == *" ${COMP_WORDS[i]} "* ]]; then
			command=${COMP_WORDS[i]}
		elif [[ ${COMP_WORDS[i]} == -- ]]; then # a program, and its arguments
			_@name@_reply "$( ((i == COMP_CWORD - 1)) && echo @command || echo @file)" "$word"
			return
		fi
	done
	if [[ -z $command ]]; then
		_@name@_reply "$_@name@_commands help --help --version" "$word"
		return
	fi
	# "--by=li" comes as three words, "-p 8" as two
	if [[ $word == '=' ]]; then
		option=$last word=''
	elif [[ $last == '=' ]]; then
		option=${COMP_WORDS[COMP_CWORD - 2]}
	elif value=$(_@name@_value "$command" "$last") && [[ $value == needed* ]]; then
		option=$last
	fi
	if [[ $option ]]; then
		value=$(_@name@_value "$command" "$option")
		_@name@_reply "${value#* }" "$word"
	elif [[ $word == -* ]]; then
		_@name@_reply "$(_@name@_options "$command")" "$word"
		[[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
	else
		_@name@_reply "$(_@name@_argument "$command")" "$word"
	fi
	return 0
} && complete -F _@name@ @name@
