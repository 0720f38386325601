# Runs orch under the Python that runs Ray on this machine: sh launch.sh RAY_VERSION ARGUMENTS...
#
# Ray Jobs starts it with the cluster's PATH, whose python may be another one, or none at all. Its parent is Ray's
# supervisor of the job, the parent of which is the raylet; and the raylet's command line names the Python of its
# workers.

version=$1
shift

python_of_ray() {
    raylet=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$PPID/status") &&
        tr '\0' '\n' <"/proc/$raylet/cmdline" |
        sed -n -e 's/^--python_worker_command="\([^"]*\)".*/\1/p' -e t \
            -e 's/^--python_worker_command=\([^ ]*\).*/\1/p'
}

has_ray() {
    [ "$("$1" -c 'import importlib.util as util, sys
sys.path = [each for each in sys.path if each]
print("ray" if util.find_spec("ray") else "")')" = ray ]
}

tried=
for python in "$(python_of_ray 2>/dev/null)" "$(readlink "/proc/$PPID/exe" 2>/dev/null)" python3 python; do
    [ -n "$python" ] || continue
    if has_ray "$python" 2>/dev/null; then
        "$python" preflight.py "$version" || exit
        # In place of the shell, so that the signal by which Ray stops a job reaches it, and its exit code Ray.
        exec "$python" -P -m orchestrator.cli "$@"
    fi
    tried="$tried${tried:+, }$python"
done
echo "error: no Python on the cluster's head node has Ray (tried $tried); its image must hold all that orch needs" >&2
exit 2
