package org.edgesdk;

import java.util.LinkedHashMap;
import java.util.Map;

/** One way to run a session, as profiled on this device; NaN where unknown. Immutable. */
public final class Choice {
    /** Such as "M". */
    public final String granularity;
    /** Measured. */
    public final double latencyP50Ms;
    /** Measured; not below the median. */
    public final double latencyP95Ms;
    /** Of an inference. */
    public final double energyMj;
    /** 0 to 1. */
    public final double accuracy;
    /** The epsilon of a risk-controlled cascade; 0 where the full model runs. */
    public final double risk;
    /** Peak. */
    public final double ramMb;
    /** The stored thresholds of a cascade, or null. */
    public final String plan;
    /** Of the engine. */
    public final int threads;
    /** Made of granularity, plan and threads unless given. */
    public final String name;

    /** As the full constructor, with nothing known but the latencies. */
    public Choice(String granularity, double latencyP50Ms, double latencyP95Ms) {
        this(granularity, latencyP50Ms, latencyP95Ms, Double.NaN, Double.NaN, Double.NaN,
                Double.NaN, null, 1, "");
    }

    /**
     * Makes a choice; the fields say what is what.
     *
     * @throws ShapeException Latencies that are no profile, or no thread.
     */
    public Choice(String granularity, double latencyP50Ms, double latencyP95Ms, double energyMj,
                  double accuracy, double risk, double ramMb, String plan, int threads,
                  String name) {
        if (granularity == null || !(0 < latencyP50Ms && latencyP50Ms <= latencyP95Ms
                && latencyP95Ms < Double.POSITIVE_INFINITY)) {
            throw new ShapeException("0 < p50 <= p95, in ms", latencyP50Ms + " and " + latencyP95Ms,
                    "choice " + granularity, "measure the profile again");
        }
        if (threads < 1) {
            throw new ShapeException("1 thread or more", String.valueOf(threads),
                    "choice " + granularity, "1 is usual");
        }
        this.granularity = granularity;
        this.latencyP50Ms = latencyP50Ms;
        this.latencyP95Ms = latencyP95Ms;
        this.energyMj = energyMj;
        this.accuracy = accuracy;
        this.risk = risk;
        this.ramMb = ramMb;
        this.plan = plan;
        this.threads = threads;
        this.name = name != null && !name.isEmpty() ? name : granularity
                + (plan == null || plan.isEmpty() ? "" : " " + plan)
                + (threads > 1 ? " " + threads + " threads" : "");
    }

    /** Returns this choice with another energy of an inference. */
    public Choice withEnergyMj(double value) {
        return new Choice(granularity, latencyP50Ms, latencyP95Ms, value, accuracy, risk, ramMb,
                plan, threads, name);
    }

    /** Returns this choice with another accuracy. */
    public Choice withAccuracy(double value) {
        return new Choice(granularity, latencyP50Ms, latencyP95Ms, energyMj, value, risk, ramMb,
                plan, threads, name);
    }

    /** Returns this choice with another risk. */
    public Choice withRisk(double value) {
        return new Choice(granularity, latencyP50Ms, latencyP95Ms, energyMj, accuracy, value, ramMb,
                plan, threads, name);
    }

    /** Returns this choice with another peak of RAM. */
    public Choice withRamMb(double value) {
        return new Choice(granularity, latencyP50Ms, latencyP95Ms, energyMj, accuracy, risk, value,
                plan, threads, name);
    }

    /** Returns this choice with another name. */
    public Choice withName(String value) {
        return new Choice(granularity, latencyP50Ms, latencyP95Ms, energyMj, accuracy, risk, ramMb,
                plan, threads, value);
    }

    /** Returns it as a governor's log has it. */
    Map<String, Object> toJson() {
        Map<String, Object> json = new LinkedHashMap<String, Object>();
        json.put("granularity", granularity);
        json.put("latency_p50_ms", latencyP50Ms);
        json.put("latency_p95_ms", latencyP95Ms);
        json.put("energy_mj", energyMj);
        json.put("accuracy", accuracy);
        json.put("risk", risk);
        json.put("ram_mb", ramMb);
        json.put("plan", plan);
        json.put("threads", threads);
        json.put("name", name);
        return json;
    }

    @Override
    public String toString() {
        return name;
    }
}
