#!/usr/bin/env bash
# Builds, aligns, signs and verifies android_demo/build/edge-demo.apk with Debian packages alone:
# no Google SDK, no NDK, no Gradle.
#
#   android_demo/build.sh              the APK, signed with a debug key of this machine
#   android_demo/build.sh --out DIR    everything into DIR instead of android_demo/build
#
# Android's class library (API 23) and dx are no longer in Debian 12: they are unpacked from
# Debian 11 into android_demo/build/debian, once.
set -euo pipefail

demo=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$demo")
out=$demo/build
if [ "${1:-}" = --out ] && [ $# = 2 ]; then
  out=$(mkdir -p "$2" && cd "$2" && pwd)
elif [ $# != 0 ]; then
  sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
main=$demo/app/src/main
debian=$demo/build/debian
framework=/usr/share/android-framework-res/framework-res.apk
started=$(date +%s)

fail() { printf '%s\n' "$*" >&2; exit 1; }
step() { printf '%-9s %s\n' "$1" "$2"; }
property() { sed -n "s/^$1=//p" "$demo/gradle.properties"; }

check_tools() {
  local missing=() pair
  for pair in aapt:aapt apksigner:apksigner dexdump:dexdump javac:openjdk-17-jdk-headless \
    keytool:openjdk-17-jre-headless clang-14:clang-14 ld.lld-14:lld-14 python3:python3; do
    command -v "${pair%%:*}" > /dev/null || missing+=("${pair##*:}")
  done
  [ -r "$framework" ] || missing+=(android-framework-res)
  [ -r /usr/include/android/nativehelper/jni.h ] || missing+=(android-libnativehelper-dev)
  [ -r /usr/lib/gcc-cross/arm-linux-gnueabi/12/libgcc.a ] || missing+=(libgcc-12-dev-armel-cross)
  [ ${#missing[@]} = 0 ] ||
    fail "missing: apt-get install --no-install-recommends ${missing[*]}"
}

# Sets application_id, min_sdk, target_sdk, abis, version_name, version_code.
read_facts() {
  application_id=$(property edge.applicationId)
  min_sdk=$(property edge.minSdk)
  target_sdk=$(property edge.targetSdk)
  abis=$(property edge.abis | tr , ' ')
  version_name=$(sed -n 's/^#define EDGE_VERSION "\([0-9.]*\)".*/\1/p' \
    "$root/runtime/include/edge_runtime.h")
  [ -n "$version_name" ] || fail "no EDGE_VERSION in runtime/include/edge_runtime.h"
  local major minor patch
  IFS=. read -r major minor patch <<< "$version_name"
  version_code=$((major * 1000000 + minor * 1000 + patch))
}

build_libraries() {
  step library "runtime/jni/build.py android"
  python3 "$root/runtime/jni/build.py" android > "$out/library.log" 2>&1 ||
    { cat "$out/library.log" >&2; fail "the core's libraries were not built"; }
}

compile_resources() {
  step resource "aapt, $(find "$main/res" -name '*.xml' | wc -l) files"
  sed -e "s/<manifest /<manifest package=\"$application_id\" /" \
    -e 's/<application/<application android:extractNativeLibs="false"/' \
    "$main/AndroidManifest.xml" > "$work/AndroidManifest.xml"
  mkdir -p "$work/gen"
  aapt package -f -m -J "$work/gen" -M "$work/AndroidManifest.xml" -S "$main/res" -A "$main/assets" \
    -I "$framework" --min-sdk-version "$min_sdk" --target-sdk-version "$target_sdk" \
    --version-name "$version_name" --version-code "$version_code" \
    -0 mrl -0 llc -0 grnn -0 pte -F "$work/unaligned.apk"
}

compile_java() {
  local android=$debian/usr/lib/android-sdk/platforms/android-23/android.jar
  find "$main/java" "$demo/app/src/core/java" "$root/runtime/jni/java" "$work/gen" -name '*.java' | sort > "$work/sources"
  step java "javac and dx, $(wc -l < "$work/sources") files"
  mkdir -p "$work/classes"
  javac -source 8 -target 8 -encoding UTF-8 -Xlint:all,-options,-serial,-deprecation -Werror \
    -bootclasspath "$android" -d "$work/classes" "@$work/sources"
  java -Xmx1g -cp "$debian/usr/share/java/com.android.dx.jar" com.android.dx.command.Main \
    --dex --min-sdk-version="$min_sdk" --output="$work/classes.dex" "$work/classes"
}

package_all() {
  step package "libraries for $abis"
  (cd "$work" && aapt add "$work/unaligned.apk" classes.dex > aapt.log)
  local abi
  for abi in $abis; do
    mkdir -p "$work/lib/$abi"
    cp "$root/build/jni/android/$abi/libedge_runtime_jni.so" "$work/lib/$abi/"
    (cd "$work" && aapt add "$work/unaligned.apk" "lib/$abi/libedge_runtime_jni.so" >> aapt.log)
  done
  python3 "$demo/tools/align.py" "$work/unaligned.apk" "$work/aligned.apk"
}

sign() {
  local key=$out/debug.keystore
  step sign "debug key $key"
  [ -f "$key" ] || keytool -genkeypair -keystore "$key" -storetype PKCS12 -alias androiddebugkey \
    -storepass android -keypass android -keyalg RSA -keysize 2048 -validity 10000 \
    -dname 'CN=Android Debug,O=Android,C=US' > "$work/keytool.log" 2>&1 ||
    { cat "$work/keytool.log" >&2; fail "no debug key"; }
  apksigner sign --ks "$key" --ks-key-alias androiddebugkey --ks-pass pass:android \
    --min-sdk-version "$min_sdk" --out "$work/edge-demo.apk" "$work/aligned.apk"
}

verify() {
  local apk=$work/edge-demo.apk
  apksigner verify --min-sdk-version "$min_sdk" "$apk" || fail "the signature does not verify"
  python3 "$demo/tools/align.py" --check "$apk" || fail "the APK is not aligned"
  aapt dump badging "$apk" > "$work/badging" || fail "aapt can not read the APK"
  grep -q "^package: name='$application_id' versionCode='$version_code' versionName='$version_name'" \
    "$work/badging" || fail "$(head -n 1 "$work/badging"): another package or version"
  grep -q "^sdkVersion:'$min_sdk'" "$work/badging" || fail "another minSdkVersion than $min_sdk"
  grep -q "^targetSdkVersion:'$target_sdk'" "$work/badging" ||
    fail "another targetSdkVersion than $target_sdk"
  dexdump "$work/classes.dex" > "$work/dexdump"
  grep -q "'Lorg/edgesdk/demo/ImageActivity;'" "$work/dexdump" || fail "classes.dex lacks the app"
  mv "$apk" "$out/edge-demo.apk"
  cp "$work/badging" "$out/badging.txt"
}

summary() {
  step wrote "$out/edge-demo.apk  $(stat -c %s "$out/edge-demo.apk") B"
  step package "$application_id $version_name ($version_code)  SDK $min_sdk to $target_sdk"
  local abi
  for abi in $abis; do
    step abi "$abi  $(stat -c %s "$work/lib/$abi/libedge_runtime_jni.so") B  aligned to 16384"
  done
  step sha256 "$(sha256sum "$out/edge-demo.apk" | cut -d' ' -f1)"
  step verified "signature, badging, alignment  $(($(date +%s) - started)) s"
}

check_tools
read_facts
python3 "$root/runtime/tools/debian.py" --suite bullseye --arch amd64 --into "$debian" \
  libandroid-23-java dalvik-exchange
work=$(mktemp -d "$out/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
build_libraries
compile_resources
compile_java
package_all
sign
verify
summary
