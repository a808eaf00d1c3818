package org.edgesdk.demo.core;

import org.edgesdk.FormatException;
import org.edgesdk.Json;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** What each plan took on this device: measured once, and kept as JSON. */
public final class DeviceProfile {
    private static final int SCHEMA_VERSION = 1;
    private static final String WHERE = "the device's profile";

    /** One plan: a granularity or a cascade. */
    public static final class Row {
        public final String plan;
        public final double p50Ms;
        public final double p95Ms;

        Row(String plan, double p50Ms, double p95Ms) {
            this.plan = plan;
            this.p50Ms = p50Ms;
            this.p95Ms = p95Ms;
        }
    }

    /** Names device, version and model: a profile of others does not count. */
    public final String key;
    public final List<Row> rows;

    DeviceProfile(String key, List<Row> rows) {
        this.key = key;
        this.rows = rows;
    }

    /** The profile as JSON text. */
    public String toJson() {
        List<Object> all = new ArrayList<Object>();
        for (Row row : rows) {
            Map<String, Object> one = new LinkedHashMap<String, Object>();
            one.put("name", row.plan);
            one.put("latency_p50_ms", row.p50Ms);
            one.put("latency_p95_ms", row.p95Ms);
            all.add(one);
        }
        Map<String, Object> content = new LinkedHashMap<String, Object>();
        content.put("schema_version", SCHEMA_VERSION);
        content.put("key", key);
        content.put("plans", all);
        return Json.indented(content);
    }

    /** Return the profile that a text holds, or null if it holds none: it is measured again. */
    public static DeviceProfile fromJson(String text) {
        try {
            Map<String, Object> content = Json.object(Json.parse(text, WHERE), WHERE);
            if (Json.small(content.get("schema_version"), WHERE) != SCHEMA_VERSION) {
                return null;
            }
            List<Row> rows = new ArrayList<Row>();
            for (Object each : Json.list(content.get("plans"), WHERE)) {
                Map<String, Object> one = Json.object(each, WHERE);
                double p50 = Json.number(one.get("latency_p50_ms"), WHERE);
                double p95 = Json.number(one.get("latency_p95_ms"), WHERE);
                if (!(0 < p50 && p50 <= p95 && p95 < 1e9)) {
                    return null;
                }
                rows.add(new Row(Json.string(one.get("name"), WHERE), p50, p95));
            }
            return new DeviceProfile(Json.string(content.get("key"), WHERE), rows);
        } catch (FormatException error) {
            return null;
        }
    }

    /** The profile in one line: "S 0.02 / 0.03, ...". */
    public String words() {
        StringBuilder words = new StringBuilder();
        for (Row row : rows) {
            words.append(words.length() == 0 ? "" : ", ").append(row.plan)
                    .append(String.format(Locale.ROOT, " %.3f / %.3f", row.p50Ms, row.p95Ms));
        }
        return words.toString();
    }
}
