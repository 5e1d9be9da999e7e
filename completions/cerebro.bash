# Completion of the `cerebro` command for bash.

_cerebro_families="file descriptor memory process signal network ipc identity time event system"

# Families as they stand in sets of calls: with % in front. ("file" alone means the same.)
_cerebro_set()
{
    local families=${_cerebro_families// / %}

    _cerebro_list "$1" "%$families $("${COMP_WORDS[0]}" syscalls 2>/dev/null | awk '{ print $2 }')"
}

# Completes the last word of a list with commas. $1: what stands before, $2: the words to choose from.
_cerebro_list()
{
    local list=$1 words=$2 head="" last

    last=${list##*,}
    [[ $list == *,* ]] && head=${list%,*},
    mapfile -t COMPREPLY < <(compgen -P "$head" -W "$words" -- "$last")
    compopt -o nospace
}

# Sets `program` to the index of the program behind `cerebro run`, when it has been typed already.
_cerebro_find_program()
{
    local i

    program=
    for ((i = 2; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --)
            program=$((i + 1))
            return
            ;;
        --profile | --view | --hide | --scratch | --deny | --unset | --output | --bind | --write | --mount | --root | --overlay | --net | --cwd | --env | --allocator | --uid | --limit | --trace-to | --trace-path | --trace-status | --inject | --audit | --audit-rotate | --allow-net | --deny-net)
            # "=" and ":" are words of their own.
            ((i++))
            [[ ${COMP_WORDS[i]} == "=" ]] && ((i++))
            while [[ ${COMP_WORDS[i + 1]} == [=:] ]] && ((i + 1 < COMP_CWORD)); do
                ((i += 2))
            done
            ;;
        --trace)
            [[ ${COMP_WORDS[i + 1]} == "=" ]] && ((i += 2))
            ;;
        -*) ;;
        *)
            program=$i
            return
            ;;
        esac
    done
}

# Sets `option` to the option whose value is being typed ("--net"; "--net=" when they are joined).
# "=" and ":" are words of their own: "--limit memory=1G,p" comes as --limit memory = 1G,p.
_cerebro_find_option()
{
    local i=$((COMP_CWORD - 1))

    if [[ $cur == [=:] ]]; then
        cur=
        i=$COMP_CWORD
    fi
    while [[ ${COMP_WORDS[i]} == [=:] ]]; do
        if [[ ${COMP_WORDS[i - 1]} == --* ]]; then
            option=${COMP_WORDS[i - 1]}=
            return
        fi
        ((i -= 2))
    done
    option=${COMP_WORDS[i]}
}

# Completes what belongs to the program as if it had been typed alone.
_cerebro_program()
{
    if ((COMP_CWORD == $1)); then
        mapfile -t COMPREPLY < <(compgen -c -- "$cur"; compgen -f -- "$cur")
        compopt -o filenames
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        compopt -o filenames
    fi
}

# Names of profiles, shipped and the user's, and files.
_cerebro_profiles()
{
    local program folder

    program=$(type -P "${COMP_WORDS[0]}")
    folder=${program%/*}/../share/cerebro/profiles
    mapfile -t COMPREPLY < <(
        for file in "$folder"/*.yaml "${XDG_CONFIG_HOME:-$HOME/.config}"/cerebro/profiles/*.yaml; do
            file=${file##*/}
            [[ $file == \* ]] || compgen -W "${file%.yaml}" -- "$cur"
        done | sort -u
        compgen -f -X '!*.yaml' -- "$cur"
    )
}

_cerebro_run()
{
    local options="--profile --view --hide --scratch --unset --clear-env --deny --report-only
        --bind --write --mount --root --overlay --net --allow-net --deny-net --cwd --env --allocator --uid
        --limit --no-walls --wait-all --no-vdso --debugfs --test-device --trace --trace-json --trace-to --trace-path --trace-status --inject --audit --audit-rotate --stats
        --diff --json --quiet --help"
    local program option

    _cerebro_find_program
    if [[ -n $program ]]; then
        _cerebro_program "$program"
        return
    fi
    _cerebro_find_option
    case $option in
    --profile | --profile=)
        _cerebro_profiles
        ;;
    --mount | --mount=)
        # "archive:" and the file; behind the second colon comes a path of the view.
        if [[ $COMP_LINE =~ --mount[=\ ][^\ ]*$ && ${COMP_LINE##*--mount} == *:* ]]; then
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            compopt -o filenames
        else
            mapfile -t COMPREPLY < <(compgen -W "archive:" -- "$cur")
            compopt -o nospace
        fi
        ;;
    --view | --view=)
        mapfile -t COMPREPLY < <(compgen -W "host minimal" -- "$cur")
        ;;
    --deny | --deny=)
        _cerebro_list "$cur" "$("${COMP_WORDS[0]}" syscalls 2>/dev/null | awk '{ print $2 }')"
        ;;
    --unset | --unset=)
        mapfile -t COMPREPLY < <(compgen -e -- "$cur")
        ;;
    --net | --net=)
        mapfile -t COMPREPLY < <(compgen -W "none host" -- "$cur")
        ;;
    --limit | --limit=)
        # Behind "memory=" comes a number, which nobody can guess.
        if [[ $cur == *,* || $COMP_LINE =~ (--limit[ =][ ]*[a-z]*)$ ]]; then
            _cerebro_list "$cur" "memory= pids= files= cpu= fsize= wall= cpus= io="
        fi
        ;;
    --trace=)
        _cerebro_set "$cur"
        ;;
    --trace-status | --trace-status=)
        _cerebro_list "$cur" "successful failed unavailable"
        ;;
    --inject | --inject=)
        # Behind the set come words with colons.
        if [[ $COMP_LINE =~ (--inject[ =][^: ]*)$ ]]; then
            _cerebro_set "$cur"
        elif [[ $COMP_LINE =~ :[a-z_]*$ ]]; then
            mapfile -t COMPREPLY < <(compgen -W "error= retval= signal= delay_enter= delay_exit= when=" -- "$cur")
            compopt -o nospace
        fi
        ;;
    --scratch | --scratch= | --root | --overlay | --cwd | --root= | --overlay= | --cwd=)
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        compopt -o filenames
        ;;
    --audit | --audit=)
        mapfile -t COMPREPLY < <(compgen -W "journal file none" -- "$cur"; compgen -f -- "$cur")
        compopt -o filenames
        ;;
    --hide | --hide= | --output | --output= | --bind | --write | --trace-to | --trace-path | --bind= | --write= | --trace-to= | --trace-path=)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        compopt -o filenames
        ;;
    --allocator | --allocator=)
        if [[ $cur == */* ]]; then
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            compopt -o filenames
        else
            mapfile -t COMPREPLY < <(compgen -W "$(cd /usr/lib/x86_64-linux-gnu 2>/dev/null &&
                echo lib*malloc*.so.[0-9])" -- "$cur")
        fi
        ;;
    --env | --env=)
        mapfile -t COMPREPLY < <(compgen -e -S = -- "$cur")
        compopt -o nospace
        ;;
    --uid | --uid=)
        mapfile -t COMPREPLY < <(compgen -W "0" -- "$cur")
        ;;
    *)
        if [[ $cur == -* ]]; then
            [[ ${COMP_WORDS[1]} == learn ]] && options="--output $options"
            mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
        else
            _cerebro_program "$COMP_CWORD"
        fi
        ;;
    esac
}

_cerebro_syscalls()
{
    case $prev in
    --family)
        mapfile -t COMPREPLY < <(compgen -W "$_cerebro_families" -- "$cur")
        ;;
    --disposition)
        mapfile -t COMPREPLY < <(compgen -W "native served checked fixed refused missing" -- "$cur")
        ;;
    *)
        if [[ $cur == -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W "--family --disposition --json --help" -- "$cur")
        else
            mapfile -t COMPREPLY < <(compgen -W \
                "$("${COMP_WORDS[0]}" syscalls 2>/dev/null | awk '{ print $2 }')" -- "$cur")
        fi
        ;;
    esac
}

_cerebro_attach()
{
    local option

    _cerebro_find_option
    case $option in
    --deny | --deny=)
        _cerebro_list "$cur" "$("${COMP_WORDS[0]}" syscalls 2>/dev/null | awk '{ print $2 }')"
        ;;
    --limit | --limit=)
        if [[ $cur == *,* || $COMP_LINE =~ (--limit[ =][ ]*[a-z]*)$ ]]; then
            _cerebro_list "$cur" "memory= files= cpu= fsize="
        fi
        ;;
    --trace=)
        _cerebro_set "$cur"
        ;;
    --audit | --audit=)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        compopt -o filenames
        ;;
    *)
        if [[ $cur == -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W "--deny --limit --trace --trace-json --audit --json --help" -- "$cur")
        else
            mapfile -t COMPREPLY < <(compgen -W "$(ps -u "$EUID" -o pid= 2>/dev/null)" -- "$cur")
        fi
        ;;
    esac
}

# The first word that is no option is the layer, a directory; then come paths.
_cerebro_layer()
{
    local options

    case ${COMP_WORDS[1]} in
    diff) options="--json --root --help" ;;
    commit) options="--dry-run --json --root --help" ;;
    discard) options="--yes --json --help" ;;
    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    elif [[ $prev == --root || $prev == "${COMP_WORDS[1]}" || $prev == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        compopt -o filenames
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        compopt -o filenames
    fi
}

_cerebro_detach()
{
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "--json --help" -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -W \
            "$("${COMP_WORDS[0]}" ps 2>/dev/null | awk '$3 == "attached" { print $2 }')" -- "$cur")
    fi
}

_cerebro_kapi()
{
    local questions="memory cpu process processes network filesystem load config modules interrupts
        pci block thermal log status"
    local orders="kill suspend resume affinity load-module unload-module interface mount umount
        log-write reclaim panic phys-read phys-write translate patch command export"

    if [[ $cur == -* && $COMP_CWORD -eq 2 ]]; then
        mapfile -t COMPREPLY < <(compgen -W "--device --no-fallback --help" -- "$cur")
    elif [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "--json --watch --yes --help" -- "$cur")
    elif [[ $prev == kapi || $prev == --no-fallback ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$questions $orders" -- "$cur")
    elif [[ $prev == command ]]; then
        mapfile -t COMPREPLY < <(compgen -W \
            "$("${COMP_WORDS[0]}" kapi command 2>/dev/null)" -- "$cur")
    elif [[ $prev == export || $prev == load-module ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        compopt -o filenames
    fi
}

_cerebro_log()
{
    case $prev in
    --event)
        _cerebro_list "$cur" "denied reported limit control attach detach policy driver lost start exec exec-failed
            unknown-call end"
        ;;
    --file)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        compopt -o filenames
        ;;
    *)
        mapfile -t COMPREPLY < <(compgen -W \
            "--lines --follow --since --event --pid --json --file --help" -- "$cur")
        ;;
    esac
}

_cerebro_top()
{
    if [[ $prev == --sort ]]; then
        mapfile -t COMPREPLY < <(compgen -W "calls cpu memory latency denials tasks pid" -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -W "--delay --pid --sort --once --json --help" -- "$cur")
    fi
}

_cerebro_inspect()
{
    local sections="summary calls latency decisions denials limits tasks mounts descriptors"

    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "--measure --json --help" -- "$cur")
    elif [[ $prev == inspect ]]; then
        mapfile -t COMPREPLY < <(compgen -W \
            "$sections $("${COMP_WORDS[0]}" ps 2>/dev/null | awk '$3 == "run" { print $1 }')" -- "$cur")
    elif [[ $prev != --measure ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$sections" -- "$cur")
    fi
}

_cerebro()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}

    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "run learn diff commit discard explain attach detach ps top inspect log doctor syscalls kapi help --help --version" -- "$cur")
        return
    fi
    case ${COMP_WORDS[1]} in
    run | learn) _cerebro_run ;;
    explain)
        if [[ $cur == -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W "--json --help" -- "$cur")
        else
            _cerebro_profiles
        fi
        ;;
    diff | commit | discard) _cerebro_layer ;;
    attach) _cerebro_attach ;;
    detach) _cerebro_detach ;;
    syscalls) _cerebro_syscalls ;;
    kapi) _cerebro_kapi ;;
    log) _cerebro_log ;;
    top) _cerebro_top ;;
    inspect) _cerebro_inspect ;;
    ps | doctor) mapfile -t COMPREPLY < <(compgen -W "--json --help" -- "$cur") ;;
    help) mapfile -t COMPREPLY < <(compgen -W "run learn diff commit discard explain attach detach ps top inspect log doctor syscalls kapi" -- "$cur") ;;
    esac
}

complete -F _cerebro cerebro
