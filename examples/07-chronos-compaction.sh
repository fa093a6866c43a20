#!/bin/sh
# Listing 07: many small gzip files become one; 07-chronos-compaction.json runs this every hour. Directories for now, S3 comes later.
#
#   07-chronos-compaction.sh RAW HOURLY      RAW/*.gz become HOURLY/20191130T120500Z-4711.gz
#
# It may be killed at any moment. What a run takes it first moves into a directory that has the name of the file to be made; the next run
# makes that file if it is not there, and only then are the sources removed. So no line is lost, and none comes twice.
# Whoever writes to RAW gives a file its name when it is whole (write elsewhere, then mv).
set -eu
raw=$1 hourly=$2
mkdir -p "$raw" "$hourly"

compact() { # DIRECTORY: raw/.NAME.taken becomes hourly/NAME.gz
	name=$(basename "$1" .taken)
	out=$hourly/${name#.}.gz
	if [ ! -e "$out" ] && ls "$1"/*.gz >/dev/null 2>&1; then
		for file in "$1"/*.gz; do
			gzip -dc "$file"
		done | gzip >"$out.part"
		gzip -t "$out.part"
		sync "$out.part"
		mv "$out.part" "$out"
		sync "$hourly"
		echo "$out"
	fi
	rm -r "$1"
}

for left in "$raw"/.*.taken; do # by a run that was killed
	[ ! -d "$left" ] || compact "$left"
done

ls "$raw"/*.gz >/dev/null 2>&1 || exit 0
taken=$raw/.$(date -u +%Y%m%dT%H%M%SZ)-$$.taken
mkdir "$taken"
for file in "$raw"/*.gz; do
	mv "$file" "$taken/"
done
compact "$taken"
