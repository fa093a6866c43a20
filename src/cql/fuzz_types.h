/* For fuzz targets: names of types of every kind. A corpus counts on their order. */
#ifndef CQL_FUZZ_TYPES_H
#define CQL_FUZZ_TYPES_H

static const char *const fuzz_types[] = {
	"ascii",
	"bigint",
	"blob",
	"boolean",
	"date",
	"decimal",
	"double",
	"duration",
	"float",
	"inet",
	"int",
	"smallint",
	"text",
	"time",
	"timestamp",
	"timeuuid",
	"tinyint",
	"uuid",
	"varint",
	"frozen<list<int>>",
	"frozen<set<text>>",
	"frozen<map<text, bigint>>",
	"frozen<map<int, frozen<list<text>>>>",
	"tuple<int, text, frozen<set<uuid>>>",
	"vector<float, 3>",
	"vector<text, 2>",
	"frozen<list<tuple<decimal, duration>>>",
	"frozen<set<varint>>",
	"frozen<list<vector<smallint, 2>>>",
};
#define FUZZ_TYPE_COUNT (sizeof fuzz_types / sizeof *fuzz_types)

#endif
