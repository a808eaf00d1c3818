package org.edgesdk;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What to run next. The words are those of Python, made when they are asked for. Immutable. */
public final class Decision {
    /** The limits that a choice can miss, by the bits of edge_limit. */
    public static final List<String> LIMITS = Collections.unmodifiableList(java.util.Arrays.asList(
            "latency", "energy", "battery", "memory", "free RAM", "risk", "accuracy"));

    /** The kinds of reason, by the numbers of edge_why. */
    public static final List<String> WHY = Collections.unmodifiableList(java.util.Arrays.asList(
            "best", "waits", "throttled", "power saver", "battery floor", "missed"));

    private static final String UNPACED =
            "the battery is not paced: what it holds, the rate or an inference's energy is unknown";

    final int missedMask;
    final int whyCode;
    final int betterIndex;
    final int betterMissed;
    final boolean unpaced;
    final double betterP95Ms;
    private final int index;
    private final boolean met;
    private final boolean switched;
    private final double predictedP95Ms;
    private final double waitS;
    private final double slowdown;
    private final double allowedMj;
    private final double rateHz;
    private final List<Choice> choices;
    private final Budget budget;

    Decision(Governor.Answer answer, List<Choice> choices, Budget budget) {
        this.choices = choices;
        this.budget = budget;
        index = answer.number("choice");
        met = answer.number("met") != 0;
        missedMask = answer.number("missed");
        whyCode = answer.number("why");
        betterIndex = answer.number("better");
        betterMissed = answer.number("better_missed");
        unpaced = answer.number("unpaced") != 0;
        switched = answer.number("switched") != 0;
        predictedP95Ms = answer.real("predicted_p95_ms");
        betterP95Ms = answer.real("better_p95_ms");
        waitS = answer.real("wait_s");
        slowdown = answer.real("slowdown");
        allowedMj = answer.real("allowed_mj");
        rateHz = answer.real("rate_hz");
    }

    /** Returns what to run. */
    public Choice choice() {
        return choices.get(index);
    }

    /** Returns its place in the governor's list. */
    public int index() {
        return index;
    }

    /** Returns whether it fits the budget. */
    public boolean met() {
        return met;
    }

    /** Returns the limits that it misses, of LIMITS. */
    public List<String> missed() {
        return limits(missedMask);
    }

    /** Returns the kind of reason, of WHY. */
    public String why() {
        return WHY.get(whyCode);
    }

    /** Returns whether the decision before was another one. */
    public boolean switched() {
        return switched;
    }

    /** Returns the 95th percentile that the choice is likely to have now. */
    public double predictedP95Ms() {
        return predictedP95Ms;
    }

    /** Returns how many times slower than its profile the device is. */
    public double slowdown() {
        return slowdown;
    }

    /** Returns what even spending of the battery allows an inference; NaN if it sets no limit. */
    public double allowedMj() {
        return allowedMj;
    }

    /** Returns the inferences a second that are expected; NaN if unknown. */
    public double rateHz() {
        return rateHz;
    }

    /** Returns the next better choice, or null. */
    public Choice better() {
        return betterIndex < 0 ? null : choices.get(betterIndex);
    }

    /** Returns the seconds until that one may be taken; NaN if the device itself holds it. */
    public double waitS() {
        return waitS;
    }

    /** Returns why this choice and not a better one, in words with their numbers. */
    public String reason() {
        List<String> parts = new ArrayList<String>();
        String why = why();
        if (why.equals("battery floor")) {
            parts.add("the thriftiest, as the battery is at its floor of "
                    + Words.general(budget.floorPct, 6) + " %");
        } else if (missedMask != 0) {
            parts.add((why.equals("missed") ? "the fastest, but it misses " : "misses ")
                    + misses(missedMask, choice(), predictedP95Ms));
        } else if (why.equals("power saver")) {
            parts.add("the thriftiest that " + fits() + ", as the power saver is on");
        } else {
            parts.add((why.equals("best") ? "the most accurate that " : "it ") + fits());
        }
        if (betterIndex >= 0) {
            parts.add(betterWords(why));
        }
        if (unpaced) {
            parts.add(UNPACED);
        }
        return choice().name + ": " + join(parts, "; ");
    }

    @Override
    public String toString() {
        return reason();
    }

    /** Returns it as a governor's log has it. */
    Map<String, Object> toJson() {
        Map<String, Object> json = new LinkedHashMap<String, Object>();
        json.put("choice", index);
        json.put("met", met);
        json.put("missed", missedMask);
        json.put("why", whyCode);
        json.put("better", betterIndex < 0 ? null : (Object) betterIndex);
        json.put("better_missed", betterMissed);
        json.put("unpaced", unpaced);
        json.put("switched", switched);
        json.put("predicted_p95_ms", predictedP95Ms);
        json.put("better_p95_ms", betterP95Ms);
        json.put("wait_s", waitS);
        json.put("slowdown", slowdown);
        json.put("allowed_mj", allowedMj);
        json.put("rate_hz", rateHz);
        return json;
    }

    private static List<String> limits(int mask) {
        List<String> names = new ArrayList<String>();
        for (int bit = 0; bit < LIMITS.size(); bit++) {
            if ((mask >> bit & 1) != 0) {
                names.add(LIMITS.get(bit));
            }
        }
        return names;
    }

    private String fits() {
        if (Double.isNaN(budget.latencyMs)) {
            return "fits the budget";
        }
        return "keeps p95 " + Words.fixed(predictedP95Ms, 1) + " ms within "
                + Words.general(budget.latencyMs, 6) + " ms";
    }

    private String betterWords(String why) {
        Choice better = choices.get(betterIndex);
        if (why.equals("throttled")) {
            return better.name + " fits too, but the device throttles";
        }
        if (why.equals("waits")) {
            String wait = waitS > 0 ? "in " + Words.fixed(waitS, 0) + " s" : "soon";
            return better.name + " fits too, and is taken " + wait
                    + " if it then does with room to spare";
        }
        return better.name + " would miss " + misses(betterMissed, better, betterP95Ms);
    }

    private String misses(int mask, Choice choice, double p95Ms) {
        List<String> parts = new ArrayList<String>();
        for (String limit : limits(mask)) {
            switch (limit) {
                case "latency":
                    parts.add("latency: p95 " + Words.fixed(p95Ms, 1) + " ms of "
                            + Words.general(budget.latencyMs, 6) + " ms");
                    break;
                case "energy":
                    parts.add("energy: " + of(choice.energyMj, " mJ") + " of "
                            + Words.general(budget.energyMj, 6) + " mJ");
                    break;
                case "battery":
                    parts.add("even spending: " + of(choice.energyMj, " mJ") + " of "
                            + Words.general(allowedMj, 3) + " mJ");
                    break;
                case "memory":
                    parts.add("memory: " + of(choice.ramMb, " MB") + " of "
                            + Words.general(budget.memoryMb, 6) + " MB");
                    break;
                case "free RAM":
                    parts.add("free RAM: it takes " + of(choice.ramMb, " MB"));
                    break;
                case "risk":
                    parts.add("risk: " + of(choice.risk, "") + " of "
                            + Words.general(budget.risk, 6));
                    break;
                default:
                    parts.add("accuracy: " + of(choice.accuracy, "") + " of "
                            + Words.general(budget.minAccuracy, 6));
            }
        }
        return join(parts, ", ");
    }

    private static String of(double value, String unit) {
        return Double.isNaN(value) ? "unknown" : Words.general(value, 3) + unit;
    }

    private static String join(List<String> parts, String between) {
        StringBuilder text = new StringBuilder();
        for (String part : parts) {
            text.append(text.length() == 0 ? "" : between).append(part);
        }
        return text.toString();
    }
}
