#!/usr/bin/env bash
# Unpacks Android's class library (API 23) and dx from Debian 11 into a folder; installs nothing.
#
#   fetch_debian.sh FOLDER
#
# Debian 12 has aapt, apksigner and dexdump, but no longer these two. They come through a private
# apt configuration: the same mirror as this machine's, Debian's own keys, and nothing of
# the machine's apt state is touched. EDGE_DEBIAN_MIRROR names another mirror.
set -euo pipefail
into=$(mkdir -p "$1" && cd "$1" && pwd)
android=$into/usr/lib/android-sdk/platforms/android-23/android.jar
dx=$into/usr/share/java/com.android.dx.jar
# The last file of the folder is a stamp: what was cut off is fetched again.
if [ -f "$into/complete" ]; then exit 0; fi

release=bullseye
packages=(libandroid-23-java dalvik-exchange)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || {
  echo "no $keyring: apt-get install debian-archive-keyring" >&2
  exit 1
}
mirror=${EDGE_DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
  'Component: main' | grep -E '/debian/?$' | head -n 1)}
[ -n "$mirror" ] || {
  echo "no Debian mirror in this machine's apt sources: set EDGE_DEBIAN_MIRROR" >&2
  exit 1
}
apt=$into/apt
mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/parts" "$apt/preferences"
echo "deb [arch=amd64 signed-by=$keyring] $mirror $release main" > "$apt/sources.list"
touch "$apt/status"
options=(-o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts="$apt/parts"
  -o Dir::Etc::preferencesparts="$apt/preferences" -o Dir::State::lists="$apt/lists"
  -o Dir::State::status="$apt/status" -o Dir::Cache="$apt" -o Dir::Cache::archives="$apt/archives"
  -o APT::Architecture=amd64 -o APT::Architectures=amd64 -o APT::Sandbox::User=root
  -o Acquire::Languages=none -o Acquire::Retries=3 -o Acquire::Check-Valid-Until=false)
apt-get "${options[@]}" update -q > "$apt/log" 2>&1 || { cat "$apt/log" >&2; exit 1; }
(cd "$apt/archives" && apt-get "${options[@]}" download -q "${packages[@]}") >> "$apt/log" 2>&1 ||
  { cat "$apt/log" >&2; exit 1; }
for package in "$apt"/archives/*.deb; do dpkg -x "$package" "$into"; done
for file in "$android" "$dx"; do
  [ -e "$file" ] || { echo "$file: not in ${packages[*]} of $release" >&2; exit 1; }
done
rm -rf "$apt"
touch "$into/complete"
