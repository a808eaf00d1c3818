package org.edgesdk;

/** A minimum-Hamming answer with its margin. */
public final class Nearest {
    /** The class; -1 only if the index is empty. */
    public final int id;
    /** Bits that differ; bits + 1 if there is no class. */
    public final int distance;
    /** The distance of the next other class. */
    public final int runnerUp;

    Nearest(int id, int distance, int runnerUp) {
        this.id = id;
        this.distance = distance;
        this.runnerUp = runnerUp;
    }

    /** Returns by how many bits the runner-up is farther; 0 on a tie. */
    public int margin() {
        return runnerUp - distance;
    }
}
