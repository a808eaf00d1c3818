package org.edgesdk.demo.core;

import org.edgesdk.Json;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A run's figures in the JSON that `python -m edge_sdk.bench --json` writes and compares. */
public final class BenchReport {
    /** Of edge_sdk/bench/result.py. */
    static final int SCHEMA_VERSION = 1;

    private final Map<String, Object> content = new LinkedHashMap<String, Object>();
    private final Map<String, Map<String, Object>> files =
            new LinkedHashMap<String, Map<String, Object>>();
    private final List<Object> notices = new ArrayList<Object>();
    private final List<BenchRow> rows = new ArrayList<BenchRow>();
    private ProcessMemory loaded;

    /**
     * Begin a report.
     *
     * @param version    of the core.
     * @param machine    model, machine, cpu, n_cores, ram_mb, key, and more.
     * @param startedUtc ISO 8601.
     */
    public BenchReport(String version, Map<String, Object> machine, String startedUtc) {
        content.put("schema_version", SCHEMA_VERSION);
        content.put("command", "Android demo, benchmark screen");
        content.put("sdk_version", version);
        content.put("machine", machine);
        content.put("started_utc", startedUtc);
        notices.add("measured inside a running app: latencies hold Java's calls into the core");
    }

    /** Name a file before its rows are added. */
    public void addFile(String name, String kind, String sha256, long nBytes, double loadMs,
                        String inputs, String version) {
        Map<String, Object> file = new LinkedHashMap<String, Object>();
        file.put("path", "assets/" + name);
        file.put("name", name);
        file.put("kind", kind);
        file.put("sha256", sha256);
        file.put("n_bytes", nBytes);
        file.put("threads", 1);
        file.put("engine", "core");
        file.put("engine_version", version);
        file.put("load_ms", loadMs);
        file.put("inputs", inputs);
        file.put("error", null);
        files.put(name, file);
    }

    /** Name the engine of a file's model, where it is not the core. */
    void setEngine(String name, String engine) {
        files.get(name).put("engine", engine);
    }

    /** Say why a file was not measured. */
    public void addError(String name, String kind, RuntimeException error) {
        addFile(name, kind, "", 0, Double.NaN, "", null);
        Map<String, Object> words = new LinkedHashMap<String, Object>();
        words.put("kind", error.getClass().getSimpleName());
        words.put("text", error.getMessage());
        files.get(name).put("error", words);
    }

    public void addRows(List<BenchRow> more) {
        rows.addAll(more);
    }

    /** Say something that the reader must know. */
    public void addNotice(String notice) {
        notices.add(notice);
    }

    /** Take memory as it is once all is loaded, before the first call. */
    public void setLoaded(ProcessMemory memory) {
        loaded = memory;
    }

    public void setSettings(int rounds, int samples, long seed) {
        Map<String, Object> settings = new LinkedHashMap<String, Object>();
        settings.put("threads", 1);
        settings.put("passes", 1);
        settings.put("rounds", rounds);
        settings.put("samples", samples);
        settings.put("seed", seed);
        content.put("settings", settings);
    }

    /** Take the device as it was before and after. */
    public void setState(DeviceState before, DeviceState after) {
        Map<String, Object> during = new LinkedHashMap<String, Object>();
        during.put("n", 2);
        during.put("temperature_c", null);
        during.put("frequency_mhz", null);
        during.put("throttled", throttled(before, after));
        Map<String, Object> state = new LinkedHashMap<String, Object>();
        state.put("before", moment(before));
        state.put("after", moment(after));
        state.put("during", during);
        content.put("state", state);
        if (Boolean.TRUE.equals(throttled(before, after))) {
            addNotice("the device throttled: the figures are of a hot device");
        }
    }

    private static Boolean throttled(DeviceState before, DeviceState after) {
        boolean told = before.throttled != null || after.throttled != null;
        return told ? Boolean.TRUE.equals(before.throttled) || Boolean.TRUE.equals(after.throttled)
                : null;
    }

    private static Map<String, Object> moment(DeviceState state) {
        Map<String, Object> moment = new LinkedHashMap<String, Object>();
        moment.put("temperature_c", null);
        moment.put("frequency_mhz", null);
        moment.put("throttled", state.throttled);
        moment.put("thermal_headroom", state.thermalHeadroom);
        moment.put("battery_pct", state.batteryPct);
        moment.put("charging", state.charging);
        moment.put("power_saver", state.powerSaver);
        moment.put("free_ram_mb", state.freeRamMb);
        return moment;
    }

    /** The report as JSON; memory is that of the whole process at its end. */
    public String toJson(ProcessMemory atEnd) {
        List<Object> all = new ArrayList<Object>();
        for (Map.Entry<String, Map<String, Object>> entry : files.entrySet()) {
            Map<String, Object> file = new LinkedHashMap<String, Object>(entry.getValue());
            List<Object> own = new ArrayList<Object>();
            for (BenchRow row : rows) {
                if (row.item.file.equals(entry.getKey())) {
                    own.add(row.toMap());
                }
            }
            Map<String, Object> ram = new LinkedHashMap<String, Object>();
            ram.put("peak_mb", atEnd.peakMb);
            ram.put("above_engine_mb", null);
            ram.put("engine_mb", null);
            ram.put("after_load_mb", loaded == null ? Double.NaN : loaded.residentMb);
            ram.put("peaks_mb", Collections.<Object>singletonList(atEnd.peakMb));
            file.put("ram", ram);
            file.put("rows", own);
            all.add(file);
        }
        Map<String, Object> whole = new LinkedHashMap<String, Object>(content);
        whole.put("files", all);
        whole.put("notices", notices);
        whole.put("ratios", Arrays.asList());
        return Json.indented(whole);
    }

    /** The figures as an aligned table. */
    public String table() {
        StringBuilder text = new StringBuilder(BenchRow.heading());
        String file = "";
        for (BenchRow row : rows) {
            if (!row.item.file.equals(file)) {
                file = row.item.file;
                text.append('\n').append(file);
            }
            text.append("\n  ").append(row.line());
        }
        return text.toString();
    }
}
