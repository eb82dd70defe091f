# IIF (arXiv 2209.04861): logits times ln(N / n_c), in training and at test
iif = dict(type='IIF', link='raw', count='image')
# the test settings of the paper's code
iif_test_cfg = dict(rcnn=dict(nms=dict(iou_threshold=0.3), mask_thr_binary=0.4))
# of Mask R-CNN; where there are stages, each takes the rule
iif_model = dict(roi_head=dict(bbox_head=dict(adjustment=iif)), test_cfg=iif_test_cfg)
