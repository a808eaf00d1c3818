package org.edgesdk.demo.core;

import org.edgesdk.Digests;

import java.util.LinkedHashMap;
import java.util.Map;

/** Which kind of device this is, by the names of edge_sdk/device.py: no serial number. */
public final class Machine {
    private final String model;
    private final String machine;
    private final String cpu;
    private final int nCores;
    private final double ramMb;
    private final String system;

    public Machine(String model, String machine, String cpu, int nCores, double ramMb,
                   String system) {
        this.model = model;
        this.machine = machine;
        this.cpu = cpu;
        this.nCores = nCores;
        this.ramMb = ramMb;
        this.system = system;
    }

    /** Sixteen hexadecimal digits that tell this kind of device from another; memory in GB. */
    public String key() {
        return Digests.sha256(model + "|" + machine + "|" + cpu + "|" + nCores + "|"
                + Math.round(ramMb / 1024)).substring(0, 16);
    }

    /** Ready for JSON. */
    public Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<String, Object>();
        map.put("model", model);
        map.put("machine", machine);
        map.put("cpu", cpu);
        map.put("n_cores", nCores);
        map.put("ram_mb", ramMb);
        map.put("key", key());
        map.put("clock_governors", null);
        map.put("kernel", system);
        map.put("python", null);
        return map;
    }
}
