#!/bin/sh
# Builds and installs this toolchain. The options, refusals, steps and results are those of the build.sh of a real
# build2-toolchain archive; the programs it builds are small.

if test -z "${BUILD2_REPO:-}"; then
  BUILD2_REPO="https://pkg.example.org/1/demo"
fi

version=@VERSION@
base=@BASE@
behaviour=@BEHAVIOUR@

set -u

diag() { echo "$@" >&2; }
error() { diag "error: $*"; exit 1; }
run() {
    diag "+ $*"
    "$@" || exit 1
}

usage="usage: $0 [options] [--] <c++-compiler> [<compile-option>...] [-- <link-option>...]"

local_only= no_bpkg= no_bdep= idir=/usr/local sudo= sudo_set= trust= timeout= verbose= private= system= modules=
no_modules= keep_path= prefix= suffix= stage_suffix=-stage jobs= make= idir_set=

while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) diag "$usage"; exit 0 ;;
    --local) local_only=yes; shift ;;
    --no-bpkg) no_bpkg=yes; shift ;;
    --no-bdep) no_bdep=yes; shift ;;
    --no-modules) no_modules=yes; shift ;;
    --keep-system-path) keep_path=yes; shift ;;
    --private) private=yes; shift ;;
    --install-dir | --modules | --system | --exe-prefix | --exe-suffix | --stage-suffix | --sudo | -j | --jobs | \
        --repo | --trust | --timeout | --make | --verbose)
        [ $# -ge 2 ] || error "value expected after $1"
        case $1 in
        --install-dir) idir=$2 idir_set=yes ;;
        --modules) modules=$2 ;;
        --system) system=$2 ;;
        --exe-prefix) prefix=$2 ;;
        --exe-suffix) suffix=$2 ;;
        --stage-suffix) stage_suffix=$2 ;;
        --sudo) sudo=$2 sudo_set=yes ;;
        -j | --jobs) jobs=$2 ;;
        --repo) BUILD2_REPO=$2 ;;
        --trust) trust=$2 ;;
        --timeout) timeout=$2 ;;
        --make) make="$make $2" ;;
        --verbose) verbose=$2 ;;
        esac
        shift 2
        ;;
    --) shift; break ;;
    -*) error "unknown option $1" ;;
    *) break ;;
    esac
done

[ $# -gt 0 ] || { diag "error: compiler executable expected"; diag "$usage"; exit 1; }
cxx=$1
shift
command -v "$cxx" >/dev/null 2>&1 || error "unable to execute C++ compiler $cxx"

coptions=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    coptions="$coptions $1"
    shift
done
[ $# -eq 0 ] || shift
loptions="$*"

case $verbose in
'' | [0-6]) ;;
*) error "invalid verbosity level $verbose" ;;
esac
case $idir in
/*) ;;
*) idir=$(realpath -s -m -- "$idir") ;;
esac
[ -n "$sudo_set" ] || [ -n "$idir_set" ] || sudo=sudo
[ "$sudo" != false ] || sudo=

[ -f build.sh ] && [ -d build2 ] || error "run $0 in its own directory"
[ ! -e build/config.build ] || error "current directory already configured, start with clean source"
cdir=$(dirname "$(pwd)")/build2-toolchain-$base
[ ! -e "$cdir" ] || error "$cdir/ bpkg configuration directory already exists, remove it"
for program in b bpkg; do
    [ ! -e "$idir/bin/$program$stage_suffix" ] ||
        error "staged $program$stage_suffix exists in $idir/bin/, remove it"
done

export BUILD2_DEF_OPT=0 BPKG_DEF_OPT=0 BDEP_DEF_OPT=0 BPKG_FETCH_CACHE=0 BUILD2_REPO
PATH=$idir/bin:$PATH
export PATH

# Step 1: a build system made with nothing but the compiler.
# shellcheck disable=SC2086 # The options are words.
(cd build2 && run "$cxx" -w $coptions -o b-boot b.cxx $loptions) || exit 1
run build2/b-boot --version >&2
mkdir -p build && : >build/config.build

case $behaviour in
hang)
    diag "+ waiting for a server that never answers"
    sleep 86400 &
    children=$!
    sh -c 'trap "" TERM; while :; do sleep 3600; done' &
    children="$children $!"
    echo "$children" >children.pids
    wait
    ;;
fail) error "unable to make build2/b: no rule (made to fail)" ;;
esac

# Steps 2 and 3: the staged programs.
run $sudo mkdir -p "$idir/bin" "$idir/share/build2-toolchain"
run $sudo install -m 755 build2/b-boot "$idir/bin/b$stage_suffix"
sed -e "s|@INSTALL@|$idir|g" -e "s|@CXX@|$cxx|g" bpkg/bpkg.in >bpkg/bpkg
run $sudo install -m 755 bpkg/bpkg "$idir/bin/bpkg$stage_suffix"
run $sudo cp -R repository "$idir/share/build2-toolchain/"
run $sudo mkdir -p "$idir/share/build2-toolchain/repository/build2"
run $sudo install -m 644 build2/b.cxx build2/version.h build2/bdep.in bpkg/bpkg \
    "$idir/share/build2-toolchain/repository/build2/"

if [ -z "$local_only" ] && [ -z "$no_bpkg" ]; then
    # Step 4: the final programs, as packages.
    run mkdir "$cdir"
    case $trust in
    '') trust_option= ;;
    yes) trust_option=--trust-yes ;;
    no) trust_option=--trust-no ;;
    *) trust_option="--trust $trust" ;;
    esac
    stage="$idir/bin/bpkg$stage_suffix"
    # shellcheck disable=SC2086
    {
        run "$stage" create -d "$cdir" cc config.config.hermetic=true "config.cxx=$cxx" config.cc.coptions=-O3 \
            config.bin.lib=shared "config.bin.rpath=$idir/lib" "config.install.root=$idir" \
            "config.install.sudo=${sudo:-[null]}"
        run "$stage" add -d "$cdir" "$BUILD2_REPO"
        run "$stage" ${timeout:+--fetch-timeout "$timeout"} $trust_option fetch -d "$cdir"
        run "$stage" build -d "$cdir" --for install --yes --plan= "build2/$version" "bpkg/$version"
        run "$stage" install -d "$cdir" --all
        [ "$behaviour" != partial ] || error "unable to build bdep/$version (made to fail)"
        [ -n "$no_bdep" ] || {
            run "$stage" build -d "$cdir" --for install --yes --plan= "bdep/$version"
            run "$stage" install -d "$cdir" "bdep"
        }
    }
else
    run $sudo install -m 755 build2/b-boot "$idir/bin/b"
    [ -n "$no_bpkg" ] || run $sudo install -m 755 bpkg/bpkg "$idir/bin/bpkg"
fi

# Steps 5 and 6: what was built answers, and the staged programs go.
run "$idir/bin/b" --version >&2
[ -n "$no_bpkg" ] || run "$idir/bin/bpkg" --version >&2
run $sudo rm -f "$idir/bin/b$stage_suffix" "$idir/bin/bpkg$stage_suffix"

diag
diag "Toolchain installation: $idir/bin"
diag "Build configuration: $cdir"
