// A step of Python code written down while it ran: its kernels, its checks and what it did to gradients and optimizers, done again in
// one native call. What cannot be done again is found out while it is written down, and named.
#pragma once

#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/launch.h"
#include "core/tensor.h"

namespace dnncore {

// The update of an optimizer, which a step may ask for.
class OptimizerStep : public RefCounted {
 public:
  virtual void step() = 0;
  // It is no longer what a recorded step meant: hooks were added, or another one took its place.
  void outdate() { ++generation_; }
  uint64_t generation() const { return generation_; }

 private:
  uint64_t generation_ = 0;
};

// requires_grad of a leaf is about to change: steps that use its memory are looked at again.
void requires_grad_changes(const TensorImpl& leaf);
// A leaf got other memory: steps recorded before mean the old one.
void leaf_moved();

// Where the bytes of an operand lie at a replay.
struct Place {
  enum Kind : uint8_t {
    Fixed,   // memory that was there before the step and stays
    Input,   // of the call
    Grad,    // the gradient that a leaf has when the step begins
    Arena,   // dead when the step ends
    Kept,    // a gradient of the step: read after it
    Output,  // returned: fresh memory every time
  };
  Kind kind = Fixed;
  int32_t index = 0;
  int64_t offset = 0;  // bytes
};

class Plan : public RefCounted {
 public:
  struct Result {  // a returned tensor
    Place place;
    Shape shape;
    Strides strides;
    DType dtype;
    Tensor fixed;  // of memory that was there before
  };
  Plan();
  // Whether the world is as it was when the step was written down; "" or why not.
  std::string mismatch() const;
  // Same shapes, dtypes, strides and devices as recorded, and values where the host read them, none sharing memory with what the step uses
  // otherwise.
  bool takes(const std::vector<Tensor>& inputs) const;
  std::vector<Tensor> run(const std::vector<Tensor>& inputs);
  // The launches alone, without checks, gradients and results: what a replay costs beyond them is measured against this.
  void run_kernels(const std::vector<Tensor>& inputs);
  std::string describe() const;
  // The median time of each launch, its rate and what it does; the kernels run `repeats` times, updates of optimizers included.
  std::string profile(const std::vector<Tensor>& inputs, int repeats);

  int64_t launches() const;  // of a replay
  double flops() const;      // of its matrix products
  int64_t arena_bytes() const { return arena_bytes_; }
  int64_t live_bytes() const { return live_bytes_; }  // the most that lives at one time, of what is in the arena

 private:
  friend class StepRecorder;
  static constexpr int kMostJoined = 32;  // launches done task by task
  struct Patch {
    uint32_t at;  // where the pointer stands in the argument bytes of all launches
    Place place;
  };
  struct Launch {
    int kernel;
    const char* op;
    std::string module;
    uint32_t args, size;  // their place in args_
    double flops;         // of matrix products
    int64_t bytes;        // read and written, if nothing were in a cache
    bool reread = false;  // by a launch that it is joined with
  };
  struct Layout {
    explicit Layout(const Tensor& x) : shape(x.shape()), strides(x.strides()), dtype(x.dtype()), device(x.device()) {}
    bool operator==(const Layout&) const = default;
    Shape shape;
    Strides strides;
    DType dtype;
    Device device;
  };
  struct Buffer {  // a storage of the step
    int64_t bytes = 0;
    Place place;
    int first = -1, last = -1;  // launches
  };
  struct Leaf {
    Ref<TensorImpl> tensor;
    bool needs_grad = false;  // its gradient of before is used
    bool needs_one = false;   // it must have one: the step looked
    bool needs_none = false;  // it must not have one: the step would have added to it
  };
  struct Action {
    enum Kind : uint8_t { RunLaunch, RunWhole, Check, SetGrad, ClearGrad, Optimize } kind;
    int32_t index;       // RunWhole: without interruption. Of launches_, checks_, grads_, leaves_ or optimizers_
    int32_t joined = 1;  // launches from this one on that are done together; 0: done with an earlier one
  };
  static bool is_launch(const Action& action) { return action.kind == Action::RunLaunch || action.kind == Action::RunWhole; }
  struct Gradient {  // what a leaf gets
    int32_t leaf;
    Place place;
    Shape shape;
    Strides strides;
    DType dtype;
  };
  struct Values {  // of an input, dense: the host went on with them
    size_t input;
    std::vector<std::byte> bytes;
  };
  struct HostLook {
    HostCheck check;
    uint32_t args;  // addresses, as if they were arguments
  };
  // The memory of one replay; callers at the same time have one each.
  struct Room {
    std::vector<std::byte> args;
    Ref<Storage> arena;
    std::vector<Ref<Storage>> kept;
  };

  bool requires_grad_is_as_recorded() const;
  // Takes a room out and puts it back.
  class Stay {
   public:
    explicit Stay(Plan& plan) : plan_(plan), room_(plan.take_room()) {}
    ~Stay();
    Stay(const Stay&) = delete;
    Room& room() { return *room_; }

   private:
    Plan& plan_;
    std::unique_ptr<Room> room_;
    const int exceptions_ = std::uncaught_exceptions();
  };
  std::unique_ptr<Room> take_room();
  std::vector<Ref<Storage>> move_in(Room& room, const std::vector<Tensor>& inputs);  // returns the memory of the results
  void run_launches_of(const Action& action, const Room& room) const;
  template <class Seen>
  void run_launches(Room& room, Seen&& seen);
  std::string words(const Action& action) const;
  void patch(Room& room, Place::Kind kind, const std::vector<std::byte*>& bases) const;

  std::vector<std::byte> args_;
  std::vector<Launch> launches_;
  std::vector<HostLook> checks_;
  std::vector<Action> actions_;
  std::vector<Patch> patches_;  // by kind
  std::vector<Buffer> buffers_;
  std::vector<Leaf> leaves_;
  std::vector<Gradient> grads_;
  // With their generation. An update waits for the last gradient: weights updated one by one, each as its gradient was ready, measured
  // 0.5 to 2 % slower (784-512-512-10, Adam, one and two cores).
  std::vector<std::pair<Ref<OptimizerStep>, uint64_t>> optimizers_;
  std::vector<Ref<Storage>> fixed_;    // keeps them
  std::vector<Ref<Storage>> written_;  // of those: versions move on
  std::unordered_set<const Storage*> fixed_set_;
  std::vector<Layout> inputs_;
  std::vector<Values> values_;  // the step holds for these alone
  std::vector<Result> results_;
  std::vector<int64_t> kept_bytes_, output_bytes_;
  int64_t arena_bytes_ = 0, live_bytes_ = 0;
  int threads_ = 0;
  std::string isa_;
  bool grad_mode_ = false;
  mutable uint64_t changes_seen_;
  const uint64_t moves_seen_;
  struct Switch {  // requires_grad of a leaf that was changed since
    explicit Switch(bool recorded) : recorded(recorded), now(recorded) {}
    bool recorded, now;
  };
  mutable std::map<const TensorImpl*, Switch> changed_;

  std::mutex mutex_;  // of rooms_
  std::vector<std::unique_ptr<Room>> rooms_;
};

// Writes a step down between begin() and finish(), on the calling thread.
class StepRecorder final : public Recorder {
 public:
  // Tensors that nobody else knows: they stand for those of a later call.
  explicit StepRecorder(const std::vector<Tensor>& inputs);
  ~StepRecorder() override;

  void begin();
  void end();
  // The plan, or undefined: why() says why.
  Ref<Plan> finish(const std::vector<Tensor>& results);
  // Whether memory of the step is still in use elsewhere, results and gradients aside; asks before finish().
  bool leaks(const std::vector<Tensor>& results) const;
  // Whether it was made from Python values in the step: the memory of every repetition, which a result must not be.
  bool is_constant(const Tensor& x) const;
  const std::string& why() const { return why_; }

  void record(LaunchRecord record) override;
  void created(Storage& storage) override;
  void host_wrote(Storage& storage) override;
  void checked(HostCheck check, std::initializer_list<const Tensor*> tensors) override;
  void reads_grad(TensorImpl& leaf) override;
  void set_grad(TensorImpl& leaf, const Tensor& grad) override;
  bool optimizes(OptimizerStep& optimizer) override;
  bool fixes_values(const Tensor& x) override;  // of arguments
  void cannot_repeat(const char* op, const char* what) override;

 private:
  struct Made {  // a storage of the step
    Ref<StorageWatch> watch;
    const std::byte* data;
    int64_t bytes;
    int first = -1, last = -1;
    int writes = 0;  // launches that do
    const char* op = "";
    Ref<Storage> constant;  // filled by Python, or a number that is the same every time
  };
  struct Known {  // memory from before
    const std::byte* data;
    int64_t bytes;
    Ref<Storage> storage;
    int input = -1;
  };
  struct LeafState {
    int index;
    Ref<TensorImpl> before;  // its gradient when the step began
    bool shared = false;     // somebody else knows it
    bool cleared = false, set = false;
  };
  struct Found {
    int made = -1, known = -1;
    int64_t offset = 0;
  };

  struct Seen {  // an operand of a launch
    const std::byte* data;
    int64_t bytes;
    bool writes;
    int made;    // the storage of the step, else -1
    bool whole;  // all of it
  };
  struct SeenLaunch {
    int64_t elements;  // 0: it cannot be joined
    std::vector<Seen> operands;
  };

  void refuse(const std::string& reason);
  Found find(const void* data);
  bool place(Found found, Role role, const char* op, Place& place);
  bool place_in_grad(const Known& known, int64_t offset, const char* op, Place& place);
  LeafState& leaf(TensorImpl& tensor);
  bool is_made(const Storage& storage) const;
  void compute_constants(const std::vector<Place>& places);
  void fill_in(int made, const Plan::Launch& launch);
  bool joins(size_t begin, size_t next) const;
  void join(const std::vector<Place>& places);
  void join_range(size_t begin, size_t end, const std::vector<Place>& places);
  void share_memory(size_t begin, size_t end, const std::vector<Place>& places);
  void pack();

  std::vector<Tensor> inputs_;
  Recorder* before_ = nullptr;
  bool begun_ = false;
  std::string why_;
  Ref<Plan> plan_;
  std::vector<Made> made_;
  std::vector<SeenLaunch> seen_;             // as plan_->launches_
  std::vector<int> stands_in_;               // for a storage of the step: the one whose memory it takes
  std::map<const std::byte*, int> made_at_;  // the newest storage at an address
  std::vector<Known> known_;                 // by address
  std::unordered_map<TensorImpl*, LeafState> leaf_states_;
};

}  // namespace dnncore
