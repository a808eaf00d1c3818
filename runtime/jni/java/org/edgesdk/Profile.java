package org.edgesdk;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** What a device needs for each plan, as {@code python -m edge_sdk.profile} measured it. */
final class Profile {
    private static final int VERSION = 1;

    private Profile() {}

    static String device(Map<String, Object> profile, String where) {
        return Json.string(Json.member(Json.object(Json.member(profile, "device", where), where),
                "key", where), where);
    }

    static List<Choice> choices(Map<String, Object> profile, Set<String> cascades, String where) {
        long version = profile.containsKey("schema_version")
                ? Json.integer(profile.get("schema_version"), where) : 1;
        if (version > VERSION) {
            throw new VersionException("a profile of version " + VERSION + " or older",
                    "version " + version, where, "update edge-inference-sdk");
        }
        Json.string(Json.member(profile, "target", where), where);
        device(profile, where);
        List<Choice> choices = new ArrayList<Choice>();
        for (Object plan : Json.list(Json.member(profile, "plans", where), where)) {
            choices.add(choice(Json.object(plan, where), cascades, where));
        }
        return Collections.unmodifiableList(choices);
    }

    private static Choice choice(Map<String, Object> plan, Set<String> cascades, String where) {
        String name = Json.string(Json.member(plan, "name", where), where);
        try {
            return new Choice(name, Json.number(Json.member(plan, "latency_p50_ms", where), where),
                    Json.number(Json.member(plan, "latency_p95_ms", where), where),
                    Json.known(Json.member(plan, "energy_mj", where), where),
                    Json.known(Json.member(plan, "accuracy", where), where),
                    Json.known(Json.member(plan, "risk", where), where),
                    Json.known(Json.member(plan, "ram_mb", where), where),
                    cascades.contains(name) ? name : null,
                    Json.small(Json.member(plan, "threads", where), where), name);
        } catch (ShapeException error) {
            throw new FormatException("a profile", error.got(), where,
                    "python -m edge_sdk.profile measures it again");
        }
    }
}
