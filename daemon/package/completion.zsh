#compdef @name@
_@name@_file() { _files }
_@name@_folder() { _files -/ }
_@name@_group() { _groups }
_@name@_program() { local -a names=(${(fu)"$(cat /proc/<1->/comm 2>/dev/null)"}); _describe program names }

_@name@_process() {
	local -a pids
	local folder comm first

	for folder in /proc/<1->; do # threads of the kernel have no arguments
		{ read -r -d '' first <$folder/cmdline && read -r comm <$folder/comm && pids+=($folder:t:${comm//:/ }) } 2>/dev/null
	done
	_describe process pids
}

# What dhatd watches: "nginx (pid 812), watched for".
_@name@_target() {
	local -a pids=(${(f)"$(dhatctl status 2>/dev/null </dev/null | sed -n 's/^\(.*\) (pid \([0-9]*\)[^)]*), .*/\2:\1/p')"})
	_describe target pids
}

# The first digits of what follows docker-, cri-containerd-, crio- or libpod- in /proc/PID/cgroup.
_@name@_container() {
	local -a ids=(${(fu)"$(cat /proc/<1->/cgroup 2>/dev/null | sed -n 's,.*[/-]\([0-9a-f]\{12\}\)[0-9a-f]\{52\}.*,\1,p')"})
	_describe container ids
}

_@name@_file_or_target() { _@name@_target; _files }

_@name@() {
	local curcontext=$curcontext state line

	_arguments -C '(- *)'{-h,--help}'[Give this help list]' '(- *)'{-V,--version}'[Print the version]' \
		'1:command:->command' '*::argument:->argument'
	case $state in
	command) _describe command _@name@_commands ;;
	argument) _@name@_of_command $line[1] ;;
	esac
}

_@name@ "$@"
