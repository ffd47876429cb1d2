/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "rulebook/book.h"

/* In the order of names. */
const struct book_feature book_features[] = {
	{ "action", "older Sigma files of several rules with shared parts: write each rule whole" },
	{ "actions", "responders, which do more than tell" },
	{ "aggregation", "counting in a Sigma condition, other than of events in a time" },
	{ "back_references", "regular expressions that refer to what they found before" },
	{ "category", "a Sigma logsource of which we have no events" },
	{ "correlation_type", "a Sigma correlation of another type" },
	{ "count_below", "a count that has to stay below a number" },
	{ "date_math", "dates that are counted from now" },
	{ "endless", "queries that tell nothing before their events end: sample, tail, sort, count, unique_count" },
	{ "esql", "Elastic's piped query language" },
	{ "event_category_override", "an event category that stands in another field" },
	{ "event_count", "counts of more events than a sequence has" },
	{ "expand", "Sigma's placeholders, whose values come from elsewhere" },
	{ "field_wildcard", "fields whose names have wildcards" },
	{ "filters", "filters of Kibana's beside a query" },
	{ "group_by", "joining or counting by something that is no single field" },
	{ "large_regex", "a regular expression that takes too much room" },
	{ "look_around", "regular expressions that look ahead or behind" },
	{ "lua", "the runtime of Lua, which this machine has not" },
	{ "lucene", "queries in Lucene's language" },
	{ "machine_learning", "rules on the anomalies that a learned model finds" },
	{ "n_of", "a number other than 1, any and all before \"of\" in a Sigma condition" },
	{ "nested", "conditions on single objects of a list" },
	{ "nested_correlation", "Sigma correlations of correlations" },
	{ "new_terms", "rules on values that were not seen before" },
	{ "product", "rules for other systems than Linux" },
	{ "saved_query", "queries that are kept in Kibana" },
	{ "temporal_condition", "a Sigma correlation in time that has a condition as well" },
	{ "threat_match", "rules on lists of indicators" },
	{ "time_parts", "parts of a date, such as its hour" },
	{ "value_count", "counts of more than two different values, or of two among more than two events" },
	{ "wasm", "the runtime of Wasm, which this machine has not" },
	{ 0 },
};

const char *book_feature_doc(const char *name)
{
	for (const struct book_feature *f = book_features; f->name; f++)
		if (!strcmp(f->name, name))
			return f->doc;
	return NULL;
}
