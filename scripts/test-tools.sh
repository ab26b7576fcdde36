#!/usr/bin/env bash
# Copyright 2026 The hooknet Authors
# SPDX-License-Identifier: Apache-2.0
#
# Sees to what the integration tests need: root, network namespaces, /dev/net/tun, and the programs listed below. What
# is missing is installed (Debian packages) or made where that is allowed, and named where it is not. Succeeds if the
# tests can do all they are there for.
set -euo pipefail

# A program and the Debian package it comes in. dnsmasq-base is the program without the service.
tools=(
	"ip          iproute2"
	"ping        iputils-ping"
	"traceroute  traceroute"
	"iperf3      iperf3"
	"curl        curl"
	"dig         bind9-dnsutils"
	"dnsmasq     dnsmasq-base"
	"tshark      tshark"
	"ethtool     ethtool"
)

# Where Debian keeps what is meant for root, which not every PATH has.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
ready=true

missing() {
	ready=false
	echo "integration tests: $1; the tests that need it are skipped" >&2
}

# look sets programs and packages to what is not there.
look() {
	programs=() packages=()
	local tool program package
	for tool in "${tools[@]}"; do
		read -r program package <<<"$tool"
		if ! command -v "$program" >/dev/null; then
			programs+=("$program") packages+=("$package")
		fi
	done
}

install() {
	echo "installing ${packages[*]}"
	export DEBIAN_FRONTEND=noninteractive # tshark and iperf3 would ask
	local options=(-qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
	apt-get "${options[@]}" update </dev/null &&
		apt-get "${options[@]}" install -y --no-install-recommends "${packages[@]}" </dev/null >/dev/null
}

if [[ $(uname) != Linux ]]; then
	missing "this is not Linux"
	exit 1
fi

look
if ((${#packages[@]})) && ((EUID == 0)) && command -v apt-get >/dev/null; then
	install || echo "integration tests: apt-get failed" >&2
	look
fi
if ((${#packages[@]})); then
	missing "there is no ${programs[*]} (Debian: apt-get install ${packages[*]})"
fi

if ((EUID != 0)); then
	missing "this is not root"
else
	if [[ ! -c /dev/net/tun ]]; then # a container without the node
		mkdir -p /dev/net
		mknod -m 0666 /dev/net/tun c 10 200 2>/dev/null || true # said below
	fi
	if ! : 2>/dev/null <>/dev/net/tun; then
		missing "/dev/net/tun cannot be opened (modprobe tun, or give the container the device)"
	fi
	if ! unshare --net true 2>/dev/null; then
		missing "network namespaces cannot be made (CAP_SYS_ADMIN is missing)"
	fi
fi
$ready
