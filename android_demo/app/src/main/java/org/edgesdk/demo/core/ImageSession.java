package org.edgesdk.demo.core;

import org.edgesdk.Budget;
import org.edgesdk.Bundle;
import org.edgesdk.Choice;
import org.edgesdk.Decision;
import org.edgesdk.Governor;
import org.edgesdk.Json;
import org.edgesdk.Signals;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A bundle, a model and a governor: pictures in, answers with their reasons out. For one thread;
 * `profileText` and `plans` may be asked from any.
 */
public final class ImageSession implements AutoCloseable {
    /** Told which plan is being measured. */
    public interface Progress {
        void at(String plan);
    }

    /** Runs that each plan's profile is made of, and those before that do not count. */
    static final int PROFILE_RUNS = 60;
    static final int PROFILE_WARMUPS = 10;

    private static final int RECENT = 50;
    private static final String NOTES = "the bundle's notes";

    private final Bundle bundle;
    private final ImagePlans plans;
    private final Loaded loaded;
    private final double loadMs;
    private final Map<String, Object> notes;
    private final List<Double> recent = new ArrayList<Double>();
    private final Set<String> warm = new HashSet<String>();
    private volatile DeviceProfile profile;
    private Governor governor;
    private BudgetSettings settings;
    private Budget budget;

    /**
     * Join a bundle and its model.
     *
     * @param loaded what was read for them.
     * @param loadMs how long that took.
     */
    public ImageSession(Bundle bundle, ImageModel model, Loaded loaded, double loadMs) {
        this.bundle = bundle;
        this.loaded = loaded;
        this.loadMs = loadMs;
        plans = new ImagePlans(bundle, model);
        notes = Json.object(Json.parse(bundle.notes(), NOTES), NOTES);
    }

    /** Granularities first, then cascades. */
    public List<String> plans() {
        return plans.names();
    }

    /** Digest of the weights. */
    public String weightsSha256() {
        return bundle.weightsSha256();
    }

    Loaded loaded() {
        return loaded;
    }

    double loadMs() {
        return loadMs;
    }

    Bundle bundle() {
        return bundle;
    }

    ImagePlans imagePlans() {
        return plans;
    }

    /** The largest granularity: what runs until there is a profile. */
    String largest() {
        String largest = null;
        for (String name : plans.names()) {
            if (!bundle.cascades().containsKey(name)) {
                largest = name;
            }
        }
        return largest;
    }

    /** Accuracy that was measured when the bundle was packed; NaN if the notes lack it. */
    double accuracy(String plan) {
        boolean cascade = bundle.cascades().containsKey(plan);
        Object found = cascade ? at("evaluated", "cascades", plan, "accuracy")
                : at("evaluated", "levels", plan, Integer.toString(bundle.head().dim()));
        return found instanceof Number ? ((Number) found).doubleValue() : Double.NaN;
    }

    /** What of accuracy a plan may lose: 0 for the full model, a cascade's epsilon, or NaN. */
    double risk(String plan) {
        if (plan.equals(largest())) {
            return 0;
        }
        if (!plan.startsWith("risk-")) {
            return Double.NaN;
        }
        try {
            return Double.parseDouble(plan.substring("risk-".length()));
        } catch (NumberFormatException error) {
            return Double.NaN;
        }
    }

    private Object at(String... keys) {
        Object here = notes;
        for (String key : keys) {
            here = here instanceof Map ? ((Map<?, ?>) here).get(key) : null;
        }
        return here;
    }

    private String label(int id) {
        Object labels = notes.get("labels");
        boolean named = labels instanceof List && id >= 0 && id < ((List<?>) labels).size();
        return named ? String.valueOf(((List<?>) labels).get(id)) : Integer.toString(id);
    }

    // ---- the profile of this device -----------------------------------------------------------

    /**
     * Measure every plan, in turns, on digits drawn by code.
     *
     * @param key of the profile.
     */
    public DeviceProfile measure(String key, Progress progress) {
        List<String> names = plans.names();
        double[][] taken = new double[names.size()][PROFILE_RUNS];
        for (int run = -PROFILE_WARMUPS; run < PROFILE_RUNS; run++) {
            for (int i = 0; i < names.size(); i++) {
                if (run == -PROFILE_WARMUPS) {
                    progress.at(names.get(i));
                }
                float[] pixels = SampleDigits.pixels((run + PROFILE_WARMUPS) % 10);
                long start = System.nanoTime();
                plans.run(names.get(i), pixels);
                if (run >= 0) {
                    taken[i][run] = Math.max(System.nanoTime() - start, 1) / 1e6;
                }
            }
        }
        List<DeviceProfile.Row> rows = new ArrayList<DeviceProfile.Row>();
        for (int i = 0; i < names.size(); i++) {
            Quantiles quantiles = new Quantiles(taken[i]);
            rows.add(new DeviceProfile.Row(names.get(i), quantiles.at(50), quantiles.at(95)));
        }
        return new DeviceProfile(key, rows);
    }

    /** Another governor of the same choices, which learns for itself; null without a profile. */
    Governor newGovernor() {
        return governor == null ? null : new Governor(governor.choices());
    }

    /** Let the governor choose by a profile; false if it is not of this bundle's plans. */
    public boolean useProfile(DeviceProfile found) {
        List<Choice> choices = new ArrayList<Choice>();
        List<String> names = new ArrayList<String>();
        for (DeviceProfile.Row row : found.rows) {
            names.add(row.plan);
            boolean cascade = bundle.cascades().containsKey(row.plan);
            choices.add(new Choice(row.plan, row.p50Ms, row.p95Ms, Double.NaN, accuracy(row.plan),
                    risk(row.plan), Double.NaN, cascade ? row.plan : null, 1, row.plan));
        }
        if (!names.equals(plans.names())) {
            return false;
        }
        if (governor != null) {
            governor.close();
        }
        governor = new Governor(choices);
        profile = found;
        return true;
    }

    /** The profile in one line; "" without one. */
    public String profileText() {
        DeviceProfile known = profile;
        return known == null ? "" : known.words();
    }

    // ---- answers --------------------------------------------------------------------------

    /**
     * Return the class of one picture, by the plan that the governor chooses.
     *
     * @param nowS any clock that does not go back, in seconds.
     */
    public ImageAnswer classify(float[] pixels, BudgetSettings within, DeviceState state,
                                double nowS) {
        if (governor == null) {
            return answer(pixels, largest(), null, nowS);
        }
        if (!within.equals(settings)) {
            settings = within;
            budget = budget(within);
        }
        Decision decision = governor.decide(budget, signals(state, nowS));
        return answer(pixels, decision.choice().name, decision, nowS);
    }

    /** A budget of what the sliders say. */
    static Budget budget(BudgetSettings within) {
        Budget made = Budget.none();
        if (!Double.isNaN(within.latencyMs())) {
            made = made.withLatencyMs(within.latencyMs());
        }
        return within.battery() == null ? made : made.withBattery(within.battery());
    }

    static Signals signals(DeviceState state, double nowS) {
        Signals signals = new Signals();
        signals.nowS = nowS;
        signals.batteryPct = state.batteryPct;
        signals.charging = state.charging;
        signals.energyLeftMj = state.energyLeftMj;
        signals.batteryPowerMw = state.batteryPowerMw;
        signals.thermalHeadroom = state.thermalHeadroom;
        signals.throttled = state.throttled;
        signals.powerSaver = state.powerSaver;
        signals.freeRamMb = state.freeRamMb;
        return signals;
    }

    private ImageAnswer answer(float[] pixels, String plan, Decision decision, double nowS) {
        long start = System.nanoTime();
        ImagePlans.Run run = plans.run(plan, pixels);
        double ms = Math.max(System.nanoTime() - start, 1) / 1e6;
        // The first run of a plan pays for caches: it says nothing of the device.
        if (decision != null && !warm.add(plan)) {
            governor.observe(decision, ms, Double.NaN, nowS + ms / 1e3);
        }
        recent.add(ms);
        if (recent.size() > RECENT) {
            recent.remove(0);
        }
        double[] latest = new double[recent.size()];
        for (int i = 0; i < latest.length; i++) {
            latest[i] = recent.get(i);
        }
        String reason = decision == null ? plan + ": this device is not measured yet"
                : decision.reason();
        return new ImageAnswer(run, label(run.id), decision == null || decision.met(), ms,
                new Quantiles(latest),
                run.stopped.isEmpty() ? reason : reason + "; " + run.stopped);
    }

    @Override
    public void close() {
        if (governor != null) {
            governor.close();
        }
        bundle.close();
    }
}
