// A word from sound features, frame by frame: spoken MODEL.grnn FEATURES.f32
//
// MODEL.grnn    is a FastGRNN with its head, such as the reference model
//               edge_sdk/zoo/weights/fastgrnn-digits-speech.grnn.
// FEATURES.f32  holds float32 frames of as many numbers as the model has inputs,
//               oldest first. Little-endian, nothing before or between.
//
// Prints the label and the logits after the last frame. Shows how little C++ needs
// around the C header: an owner for the mapped file, and one for a model's state.
#include <edge_runtime.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

void check(edge_status status, const std::string &what)
{
    if (status != EDGE_OK) throw std::runtime_error(what + ": " + edge_status_text(status));
}

// A file in memory, for as long as this lives.
class MappedFile {
public:
    explicit MappedFile(const std::string &path)
    {
        const int file = open(path.c_str(), O_RDONLY);
        struct stat about {};
        if (file >= 0 && fstat(file, &about) == 0 && about.st_size > 0) {
            size_ = static_cast<std::size_t>(about.st_size);
            memory_ = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
        }
        if (file >= 0) close(file);
        if (memory_ == MAP_FAILED) throw std::runtime_error(path + ": no such file, or empty");
    }
    ~MappedFile() { munmap(memory_, size_); }
    MappedFile(const MappedFile &) = delete;
    MappedFile &operator=(const MappedFile &) = delete;

    const std::uint8_t *bytes() const { return static_cast<const std::uint8_t *>(memory_); }
    std::size_t size() const { return size_; }

private:
    void *memory_ = MAP_FAILED;
    std::size_t size_ = 0;
};

// A model and one stream through it. A second stream is a second state of the same cell.
class Recognizer {
public:
    explicit Recognizer(const std::string &path) : file_(path)
    {
        check(edge_fastgrnn_open(file_.bytes(), file_.size(), 0, &cell_), path);
        state_.resize(edge_fastgrnn_state_size(&cell_) / sizeof(float) + 1);
        check(edge_fastgrnn_init(&cell_, state_.data(), bytes_of_state()), path);
    }

    void push(const float *frame)
    {
        check(edge_fastgrnn_step(&cell_, state_.data(), bytes_of_state(), frame), "frame");
    }

    std::vector<float> logits()
    {
        std::vector<float> logits(cell_.n_classes);
        check(edge_fastgrnn_logits(&cell_, state_.data(), bytes_of_state(), logits.data()), "head");
        return logits;
    }

    std::size_t inputs() const { return cell_.n_inputs; }

    // The names of the classes: a section of JSON that the core leaves to its callers. A list
    // of plain strings, so what stands between quotes; names with escapes need a JSON parser.
    std::vector<std::string> labels() const
    {
        edge_file file;
        check(edge_file_open(file_.bytes(), file_.size(), EDGE_UNVERIFIED, &file), "labels");
        std::vector<std::string> names;
        for (std::uint32_t i = 0; i < file.n_sections; i++) {
            if (file.sections[i].tag != EDGE_TAG('l', 'a', 'b', 'l')) continue;
            const std::string json(
                reinterpret_cast<const char *>(file_.bytes()) + file.sections[i].offset,
                file.sections[i].size);
            for (auto at = json.find('"'); at != std::string::npos;) {
                const auto end = json.find('"', at + 1);
                if (end == std::string::npos) break;
                names.push_back(json.substr(at + 1, end - at - 1));
                at = json.find('"', end + 1);
            }
        }
        return names;
    }

private:
    std::size_t bytes_of_state() const { return state_.size() * sizeof(float); }

    MappedFile file_; // before the cell, which points into it
    edge_fastgrnn cell_{};
    std::vector<float> state_;
};

void recognize(const std::string &model, const std::string &features)
{
    Recognizer recognizer(model);
    const MappedFile sound(features);
    const std::size_t frame_size = recognizer.inputs() * sizeof(float);
    if (sound.size() % frame_size != 0) {
        throw std::runtime_error(features + ": expected frames of " +
                                 std::to_string(recognizer.inputs()) + " floats, got " +
                                 std::to_string(sound.size()) + " bytes");
    }
    const auto *frames = reinterpret_cast<const float *>(sound.bytes());
    for (std::size_t at = 0; at < sound.size(); at += frame_size) {
        recognizer.push(frames + at / sizeof(float));
    }
    const std::vector<float> logits = recognizer.logits();
    const std::vector<std::string> labels = recognizer.labels();
    const auto best = static_cast<std::size_t>(
        std::max_element(logits.begin(), logits.end()) - logits.begin());
    std::printf("%s\n", best < labels.size() ? labels[best].c_str() : std::to_string(best).c_str());
    for (float logit : logits) std::printf("%.9g\n", static_cast<double>(logit));
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 3) {
        std::fprintf(stderr, "usage: spoken MODEL.grnn FEATURES.f32\n");
        return 2;
    }
    try {
        recognize(argv[1], argv[2]);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
