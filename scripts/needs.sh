# Sourced by ./quickstart, ./test and .ci/run: finds or installs what a build needs, or says what to install.
# Needed: a Rust toolchain, and a C and C++ compiler (the linker, and a few crates that build C).

have() { command -v "$1" >/dev/null 2>&1; }

stop() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Runs a command as root: directly, or by sudo; fails if there is no way.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        return 1
    fi
}

need_rust() {
    if ! have cargo && [ -f "${CARGO_HOME:-$HOME/.cargo}/env" ]; then
        . "${CARGO_HOME:-$HOME/.cargo}/env"
    fi
    have cargo || stop "cargo is missing. Install Rust and run this again:
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
}

# build_tools PACKAGE_MANAGER: names of its packages that bring a C and C++ compiler and make.
build_tools() {
    case $1 in
        apt-get) echo "gcc g++ make libc6-dev" ;;
        dnf | yum | zypper) echo "gcc gcc-c++ make" ;;
        apk) echo "build-base" ;;
        pacman) echo "gcc make" ;;
    esac
}

# install_with PACKAGE_MANAGER PACKAGE...
install_with() {
    local manager=$1
    shift
    case $manager in
        apt-get)
            as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
                as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
            ;;
        dnf | yum) as_root "$manager" install -y -q "$@" ;;
        zypper) as_root zypper --non-interactive install "$@" ;;
        apk) as_root apk add "$@" ;;
        pacman) as_root pacman -Sy --noconfirm "$@" ;;
    esac
}

has_compiler() { have cc && have c++ && have make; }

need_compiler() {
    has_compiler && return
    local manager packages
    for manager in apt-get dnf yum zypper apk pacman; do
        have "$manager" || continue
        packages=$(build_tools "$manager")
        echo "installing a C compiler: $manager, $packages"
        # Word splitting is meant: one argument a package.
        # shellcheck disable=SC2086
        install_with "$manager" $packages >&2 || true
        break
    done
    has_compiler || stop "a C and C++ compiler and make are missing and could not be installed from here.
Install them as root${packages:+ ($manager: $packages)}, or on macOS by xcode-select --install, and run this again."
}

need_build() {
    need_rust
    need_compiler
}
